"""Whole runs with a generator of each architecture."""

import pytest
from safetensors.torch import load_file

import vitquant
from vitquant.config.synthesize import DiffusionSettings, PromptSettings
from vitquant.core.errors import UserError
from vitquant.core.progress import Silent
from vitquant.synthesis.diffusion.generator import load_generator
from vitquant.synthesis.diffusion.learn_job import PromptLearner
from vitquant.synthesis.diffusion.prompt_file import read_prompts
from vitquant.synthesis.diffusion.prompt_sets import LearnedPrompts
from vitquant.synthesis.diffusion.sample_job import DiffusionSampler
from vitquant.synthesis.image_folder import read_index
from vitquant.synthesis.job import run


@pytest.fixture
def loaded(kind, saved):
    return load_generator(str(saved(kind)), "vit_digits", "float32", "cpu", Silent(), steps=2)


def test_an_interrupted_run_ends_with_the_same_files(loaded, model, chosen, tmp_path, stop_after):
    settings = PromptSettings.build(prompts_per_class=2, steps=1, batch_size=2)
    learner = PromptLearner(model, loaded, chosen[:2], settings)
    whole = run(learner, tmp_path / "whole.safetensors", Silent())
    with pytest.raises(KeyboardInterrupt):
        run(learner, tmp_path / "parted.safetensors", stop_after(1))
    run(learner, tmp_path / "parted.safetensors", Silent())
    assert whole.path.read_bytes() == (tmp_path / "parted.safetensors").read_bytes()
    drawing = DiffusionSettings.build(samples=4, batch_size=2)
    prompts = LearnedPrompts(whole)
    prompts.check(loaded, chosen[:2])
    sampler = DiffusionSampler(model, loaded, chosen[:2], prompts, drawing)
    images = run(sampler, tmp_path / "whole", Silent())
    with pytest.raises(KeyboardInterrupt):
        run(sampler, tmp_path / "parted", stop_after(1))
    run(sampler, tmp_path / "parted", Silent())
    assert len(images.rows) == 4
    for file in images.path.rglob("*.png"):
        again = tmp_path / "parted" / file.relative_to(images.path)
        assert file.read_bytes() == again.read_bytes()


@pytest.mark.slow
def test_learn_and_synthesize_from_end_to_end(kind, saved, tmp_path):
    (tmp_path / "classes.txt").write_text("one\ntwo\n")
    asked = {
        "generator": str(saved(kind)),
        "classes": str(tmp_path / "classes.txt"),
        "generator_steps": 2,
    }
    learned = vitquant.learn_prompts(
        "vit_digits", tmp_path / "p.safetensors", prompts_per_class=2, steps=2, **asked
    )
    tensors = load_file(learned.path)
    assert all(tensors[f"{index}.learned"].isfinite().all() for index in (1, 2))
    assert read_prompts(learned.path).header["generator"]["steps"] == 2
    images = tmp_path / "images"
    vitquant.synthesize("vit_digits", images, prompts=str(learned.path), samples=4, **asked)
    assert len(read_index(images)) == 4
    other = saved("sdxl" if kind == "stable-diffusion" else "stable-diffusion")
    wrong = asked | {"generator": str(other), "prompts": str(learned.path)}
    with pytest.raises(UserError, match="learned with the generator"):
        vitquant.synthesize("vit_digits", tmp_path / "other", samples=4, **wrong)
