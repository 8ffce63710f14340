"""A small Stable Diffusion with random weights, of the classes and settings that SD-Turbo has."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from vitquant.config.synthesize import DiffusionSettings
from vitquant.core.progress import Silent
from vitquant.models.sources import load_float
from vitquant.synthesis.diffusion.generator import Generator
from vitquant.synthesis.diffusion.pipeline import load_pipeline
from vitquant.synthesis.diffusion.prompt_sets import TemplatePrompts
from vitquant.synthesis.diffusion.prompt_text import adjective_templates
from vitquant.synthesis.diffusion.sample_job import DiffusionSampler
from vitquant.synthesis.job import run
from vitquant.synthesis.quality import Classifier
from vitquant.synthesis.target_classes import target_classes

SIDE = 32


def save_pipeline(folder, seed=0):
    """Write a pipeline folder whose images are 32 pixels wide."""
    from diffusers import (
        AutoencoderKL,
        EulerDiscreteScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(seed)
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    tokens = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=40
    )
    text = CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=40,
        bos_token_id=tokens.index("<|startoftext|>"),
        eos_token_id=tokens.index("<|endoftext|>"),
        pad_token_id=tokens.index("<|endoftext|>"),
    )
    unet = UNet2DConditionModel(
        sample_size=SIDE // 2,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=(2, 2),
        use_linear_projection=True,
        cross_attention_dim=32,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIDE,
    )
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        timestep_spacing="trailing",
        prediction_type="epsilon",
    )
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


@pytest.fixture(scope="session")
def pipeline_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generator") / "tiny-turbo"
    save_pipeline(folder)
    return folder


@pytest.fixture
def make_pipeline():
    """make_pipeline(folder, seed=…) writes a pipeline."""
    return save_pipeline


@pytest.fixture
def pipeline_copy(pipeline_folder, tmp_path):
    """A copy that a test may damage."""
    return Path(shutil.copytree(pipeline_folder, tmp_path / "copy"))


@pytest.fixture(scope="session")
def loaded(pipeline_folder):
    return load_pipeline(str(pipeline_folder), torch.float32)


@pytest.fixture
def pipeline(loaded):
    """The pipeline as diffusers has it."""
    pipe, _ = loaded
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="session")
def generator(loaded):
    """A small generator with random weights, and what tests want to know of it."""

    class Open(Generator):
        tokenizer = loaded[0].tokenizer

        def tokens(self, prompt):
            return self.tokenizer.convert_ids_to_tokens(prompt.ids.tolist())

        def parameters(self):
            for part in (loaded[0].text_encoder, loaded[0].unet, loaded[0].vae):
                yield from part.parameters()

    return Open(*loaded, "cpu")


@pytest.fixture(scope="session")
def exact(pipeline_folder):
    """Generator and classifier in double precision, for finite differences."""
    double = load_float("vit_digits")
    double.module.double()
    return (
        Generator.load(str(pipeline_folder), "cpu", torch.float64),
        Classifier(double, "cpu"),
    )


@pytest.fixture
def stop_after():
    """stop_after(count) → a listener that interrupts a run behind so many steps."""

    class Stopping(Silent):
        def __init__(self, count):
            self.count = count

        def track(self, items, total, what):
            for i, item in enumerate(items):
                if i == self.count:
                    raise KeyboardInterrupt
                yield item

    return Stopping


@pytest.fixture(scope="session")
def model():
    """The bundled miniature that classifies digits; for all tests, so it must not be changed."""
    return load_float("vit_digits")


@pytest.fixture(scope="session")
def chosen(model):
    """Three of its classes."""
    return target_classes(model)[:3]


@pytest.fixture(scope="session")
def sampler(model, generator, chosen):
    """sampler(…settings) → what makes images of three classes, from two texts by default."""

    def build(prompts=None, **changes):
        settings = DiffusionSettings.build(**{"samples": 14, "batch_size": 4} | changes)
        texts = prompts or TemplatePrompts(tuple(adjective_templates(2)))
        return DiffusionSampler(model, generator, chosen, texts, settings)

    return build


@pytest.fixture(scope="session")
def finished(sampler, tmp_path_factory):
    """The images of ``sampler()``; for all tests, so they must not be changed."""
    return run(sampler(), tmp_path_factory.mktemp("finished") / "out", Silent())
