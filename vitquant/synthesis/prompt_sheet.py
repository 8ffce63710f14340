"""A sheet of images that learned prompts draw: some classes as rows, their prompts as columns."""

import io

from vitquant.synthesis.contact_sheet import Cell, Line, draw_sheet
from vitquant.synthesis.diffusion.generator import Generator
from vitquant.synthesis.diffusion.prompt_file import PromptFile
from vitquant.synthesis.diffusion.prompt_sets import LearnedPrompts
from vitquant.synthesis.diffusion.sample import sample_images
from vitquant.synthesis.quality import Classifier
from vitquant.synthesis.target_classes import TargetClass

_ROWS, _COLUMNS = 8, 8


def draw_prompts(
    generator: Generator, classifier: Classifier, file: PromptFile, *, seed: int, batch_size: int
) -> bytes:
    """A PNG with an image for each of the first 8 prompts of 8 classes, spread evenly.

    Images that the classifier takes for something else have a red frame.
    """
    indices = list(file.prompts)
    shown = indices[:: -(-len(indices) // _ROWS)]
    classes = [TargetClass(i, file.prompts[i].name) for i in shown]
    lines = []
    for target in classes:
        count = min(_COLUMNS, len(file.prompts[target.index].texts))
        part = sample_images(
            generator,
            classifier,
            LearnedPrompts(file),
            [target],
            count,
            seed=seed,
            batch_size=batch_size,
        )
        lines.append(Line(target.name, [Cell(i.image, i.correct) for i in part.images]))
    data = io.BytesIO()
    draw_sheet(lines).save(data, "PNG")
    return data.getvalue()
