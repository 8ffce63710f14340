"""Gradients pass through the tiny decoder, and images are drawn by the full one."""

import diffusers
import pytest
import torch

from vitquant.config.synthesize import PromptSettings
from vitquant.core.errors import UserError
from vitquant.core.hashing import noise
from vitquant.core.progress import Silent
from vitquant.synthesis.diffusion.adapters import registry
from vitquant.synthesis.diffusion.adapters.tiny_decoder import load_tiny_decoder
from vitquant.synthesis.diffusion.generator import Generator, load_generator
from vitquant.synthesis.diffusion.learn_job import PromptLearner
from vitquant.synthesis.diffusion.pipeline import GENERATOR, load_pipeline, tiny_decoder_path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny decoder of latents with four channels, for images of twice their side."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("tiny") / "decoder"
    widths = {"encoder_block_out_channels": (4, 4), "decoder_block_out_channels": (8, 8)}
    blocks = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    diffusers.AutoencoderTiny(latent_channels=4, **widths, **blocks).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def both(saved, folder):
    """The pipeline with its own decoder alone, and with the tiny one."""
    loaded = load_pipeline(str(saved("stable-diffusion")), torch.float64)
    decoder = load_tiny_decoder(str(folder), torch.float64)
    return Generator(*loaded, "cpu"), Generator(*loaded, "cpu", decoder)


def embedded(generator):
    ids = generator.prompt_tokenizer.prompt("a photo of a {}", "three").ids[None]
    return ids, generator.embeddings(ids)


def test_images_are_drawn_by_the_full_decoder(both):
    images = []
    for generator in both:
        ids, at = embedded(generator)
        latents = noise((1, *generator.noise_shape), 0)
        images.append(generator.generate(generator.encode(ids, at), latents))
        with torch.no_grad():
            embeds = generator.encode(ids, at.clone().requires_grad_())
            assert torch.equal(generator.generate(embeds, latents), images[-1])
    assert torch.equal(*images)


def test_gradients_are_those_of_what_the_tiny_decoder_makes(both, folder):
    full, tiny = both
    ids, at = embedded(tiny)
    latents = noise((1, *tiny.noise_shape), 0)
    network = load_tiny_decoder(str(folder), torch.float64).network
    images, slopes = [], []
    for generator in (full, tiny):
        embeddings = at.clone().requires_grad_()
        images.append(generator.generate(generator.encode(ids, embeddings), latents))
        images[-1].square().sum().backward()
        slopes.append(embeddings.grad)
    denoised = tiny._adapter.denoise(tiny.encode(ids, at), latents.double(), 1)
    expected = (network.decode(denoised).sample / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(images[1], expected)
    assert not torch.allclose(images[0], images[1], atol=0.01)
    assert not torch.allclose(*slopes)


def test_prompts_depend_on_the_decoder(both, model, chosen):
    settings = PromptSettings.build(prompts_per_class=2, steps=1)
    headers = [PromptLearner(model, g, chosen, settings).header() for g in both]
    assert headers[0]["generator"].pop("decoder") is None
    assert headers[1]["generator"].pop("decoder").keys() == {"name", "sha256"}
    assert headers[0] == headers[1]


def test_a_decoder_of_other_latents_is_refused(saved, folder):
    decoder = load_tiny_decoder(str(tiny_decoder_path()), torch.float32)
    loaded = load_pipeline(str(saved("stable-diffusion")), torch.float32)
    with pytest.raises(UserError, match=r"--decoder: .* 4 channels 4 times, .* has 4 and 2"):
        Generator(*loaded, "cpu", decoder)


def test_what_is_no_tiny_decoder_is_refused(saved, tmp_path):
    for name, reason in (
        (tmp_path / "nowhere", "there is no folder"),
        (tmp_path, "could not be loaded"),
        (saved("stable-diffusion") / "vae", "its class is AutoencoderKL"),
    ):
        with pytest.raises(UserError, match=f"--decoder: .*{reason}"):
            load_tiny_decoder(str(name), torch.float32)


def test_without_the_usual_decoder_there_is_a_warning(
    saved, folder, monkeypatch, tmp_path, listener
):
    """Which is another one, if the network is gone and the generator is in the cache."""
    name = str(saved("stable-diffusion"))
    decoders = {name: str(folder)}
    monkeypatch.setattr(registry.StableDiffusion, "tiny_decoders", decoders)
    asked = (name, "vit_digits", "float32", "cpu", listener)
    found = load_generator(*asked, decoder=None)
    assert found.identity.decoder["name"] == str(folder)
    assert load_generator(*asked, decoder="full").identity.decoder is None
    assert listener.warnings == []
    decoders[name] = str(tmp_path / "gone")
    assert load_generator(*asked, decoder=None).identity.decoder is None
    assert "gradients pass through the full decoder" in listener.warnings[0]


def test_the_miniature_has_one_that_is_not_the_default():
    asked = (GENERATOR, "vit_digits", "float32", "cpu", Silent())
    assert load_generator(*asked, decoder=None).identity.decoder is None
    found = load_generator(*asked, decoder=str(tiny_decoder_path()))
    assert found.identity.decoder is not None
