"""A sheet of images that learned prompts draw."""

import io

from PIL import Image

from vitquant.config.synthesize import PromptSettings
from vitquant.core.progress import Silent
from vitquant.synthesis.diffusion.learn_job import PromptLearner
from vitquant.synthesis.job import run
from vitquant.synthesis.prompt_sheet import draw_prompts
from vitquant.synthesis.quality import Classifier
from vitquant.synthesis.target_classes import target_classes


def test_classes_are_rows_and_their_prompts_columns(model, generator, tmp_path):
    """Ten classes are more than are shown, two prompts fewer."""
    settings = PromptSettings.build(prompts_per_class=2, steps=1)
    learner = PromptLearner(model, generator, target_classes(model), settings)
    file = run(learner, tmp_path / "p", Silent())
    classifier = Classifier(model, "cpu")
    data = draw_prompts(generator, classifier, file, seed=0, batch_size=4)
    sheet = Image.open(io.BytesIO(data))
    assert sheet.size == (160 + 2 * 64, 5 * 64)
    assert sheet.convert("L").crop((160, 0, *sheet.size)).getextrema()[0] < 250
    assert draw_prompts(generator, classifier, file, seed=0, batch_size=4) == data
