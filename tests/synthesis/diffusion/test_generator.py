"""One differentiable step from embeddings and noise to an image."""

import pytest
import torch

from vitquant.core.errors import UserError
from vitquant.core.hashing import noise, seed_of
from vitquant.synthesis.diffusion.adapters.base import PromptEmbeds
from vitquant.synthesis.diffusion.generator import Generator


@pytest.fixture
def embeds(generator):
    ids = generator.prompt_tokenizer.prompt("a photo of a {}", "cat").ids[None]
    return generator.encode(ids, generator.embeddings(ids))


def test_it_generates_what_the_pipeline_itself_does(generator, pipeline, embeds):
    """With the words' own embeddings the two ways must meet."""
    latents = noise((1, *generator.noise_shape), 3)
    theirs = pipeline(
        "a photo of a cat",
        num_inference_steps=1,
        guidance_scale=0.0,
        latents=latents,
        output_type="pt",
    ).images
    torch.testing.assert_close(generator.generate(embeds, latents), theirs, atol=1e-5, rtol=1e-5)


def test_images_are_colors_from_0_to_1(generator, embeds):
    images = generator.generate(
        PromptEmbeds.cat([embeds] * 3), noise((3, *generator.noise_shape), 0)
    )
    assert images.shape == (3, 3, 32, 32)
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert images.std(0).max() > 0.01


def test_gradients_reach_the_embeddings_and_nothing_else(generator):
    ids = generator.prompt_tokenizer.prompt("a photo of a {}", "cat").ids[None]
    embeddings = generator.embeddings(ids).requires_grad_()
    generator.generate(
        generator.encode(ids, embeddings), noise((1, *generator.noise_shape), 0)
    ).sum().backward()
    assert embeddings.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in generator.parameters())


def test_an_image_costs_all_parameters_at_every_pixel(generator):
    assert generator.image_cost == sum(p.numel() for p in generator.parameters()) * 32 * 32


def test_noise_depends_on_its_seed_alone():
    assert torch.equal(noise((2, 3), 5), noise((2, 3), 5))
    assert not torch.equal(noise((2, 3), 5), noise((2, 3), 6))
    assert seed_of(0, 12, 3) != seed_of(0, 1, 23)
    assert 0 <= seed_of("x") < 2**63


def test_identity_follows_the_weights(pipeline_folder, tmp_path, make_pipeline):
    again = Generator.load(str(pipeline_folder), "cpu", torch.float32).identity
    make_pipeline(tmp_path / "other", seed=1)
    other = Generator.load(str(tmp_path / "other"), "cpu", torch.float32).identity
    assert again.sha256 != other.sha256
    assert again == Generator.load(str(pipeline_folder), "cpu", torch.float32).identity


def test_low_precision_generates_nearly_the_same(generator, pipeline_folder):
    low = Generator.load(str(pipeline_folder), "cpu", torch.bfloat16)
    ids = generator.prompt_tokenizer.prompt("a photo of a {}", "cat").ids[None]
    latents = noise((1, *generator.noise_shape), 0)
    images = [g.generate(g.encode(ids, g.embeddings(ids)), latents) for g in (generator, low)]
    assert images[1].dtype == torch.float32
    assert (images[0] - images[1]).abs().mean() < 0.05


def test_what_is_no_pipeline_is_refused(tmp_path, pipeline_copy):
    def load(name):
        return Generator.load(str(name), "cpu", torch.float32)

    with pytest.raises(UserError, match=r"--generator: there is no folder '.*nowhere'"):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"--generator: .*model_index.json cannot be read"):
        load(tmp_path / "empty")
    (pipeline_copy / "vae" / "diffusion_pytorch_model.safetensors").rename(pipeline_copy / "kept")
    (pipeline_copy / "vae" / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(UserError, match="holds no safetensors file"):
        load(pipeline_copy)
    for file in (pipeline_copy / "unet").iterdir():
        file.unlink()
    (pipeline_copy / "unet").rmdir()
    with pytest.raises(UserError, match="lacks the folder unet"):
        load(pipeline_copy)


def test_damaged_weights_are_refused(pipeline_copy):
    weights = pipeline_copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"--generator: .* could not be loaded"):
        Generator.load(str(pipeline_copy), "cpu", torch.float32)
