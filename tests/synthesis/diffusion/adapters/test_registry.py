"""Every architecture does what its pipeline does, and lets gradients through."""

import json
import shutil

import pytest
import torch

from vitquant.core.errors import UserError
from vitquant.core.hashing import noise
from vitquant.synthesis.diffusion.adapters.registry import adapter_of, tiny_decoder_of
from vitquant.synthesis.diffusion.generator import Generator
from vitquant.synthesis.diffusion.pipeline import load_pipeline

TEXT = "a photo of a three"


@pytest.fixture
def asked():
    """asked(pipeline, steps) → how its own ``__call__`` is told the same."""

    def ask(pipeline, steps):
        name = type(pipeline).__name__
        if name == "SanaSprintPipeline":
            size = {"height": 32, "width": 32, "use_resolution_binning": False}
            return size | ({} if steps == 2 else {"intermediate_timesteps": None})
        if name == "FluxPipeline":
            guided = pipeline.transformer.config.guidance_embeds
            return {"height": 32, "width": 32, "max_sequence_length": 512 if guided else 256}
        return {"guidance_scale": 0.0}

    return ask


def encode(generator, count=1):
    ids = generator.prompt_tokenizer.prompt("a photo of a {}", "three").ids.repeat(count, 1)
    return generator.encode(ids, generator.embeddings(ids))


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_it_generates_what_the_pipeline_itself_does(parts, asked, steps):
    pipeline, one = parts
    generator = Generator(pipeline, one.identity, "cpu", steps=steps)
    latents = noise((2, *generator.noise_shape), 3).double()
    adapter = adapter_of(pipeline)
    theirs = pipeline(
        [TEXT] * 2,
        num_inference_steps=steps,
        latents=adapter.begin(latents) if hasattr(pipeline, "_pack_latents") else latents,
        generator=adapter.step_arguments(latents).get("generator"),
        output_type="pt",
        **asked(pipeline, steps),
    ).images
    ours = generator.generate(encode(generator, 2), latents)
    assert ours.shape == (2, 3, 32, 32)
    torch.testing.assert_close(ours, theirs.to(ours.dtype), atol=2e-5, rtol=2e-5)
    assert (ours[0] - ours[1]).abs().max() > 0.01


def test_gradients_are_those_of_finite_differences(parts):
    """Of the learned embeddings, through text encoder, network and decoder."""
    _, generator = parts
    prompt = generator.prompt_tokenizer.prompt("a photo of a {}", "three")
    ids = prompt.ids[None]
    at = generator.embeddings(ids)
    rng = torch.Generator().manual_seed(0)
    direction = torch.zeros_like(at)
    places = list(prompt.free)
    direction[:, places] = torch.randn(at[:, places].shape, generator=rng).double() * at.std()
    latents = noise((1, *generator.noise_shape), 0)
    weights = torch.randn(1, 3, 32, 32, generator=rng).double()

    def value(embeddings):
        return (generator.generate(generator.encode(ids, embeddings), latents) * weights).sum()

    embeddings = at.clone().requires_grad_()
    value(embeddings).backward()
    # Of several steps, as parts of T5, Gemma and Flux compute in float32 all the same.
    slopes = [
        ((value(at + step * direction) - value(at - step * direction)) / (2 * step)).item()
        for step in (1e-2, 3e-3, 1e-3, 3e-4)
    ]
    found = (embeddings.grad * direction).sum().item()
    assert min(abs(slope - found) for slope in slopes) < 1e-2 * abs(found)
    assert abs(found) > 1e-6


def test_nothing_else_has_a_gradient(parts):
    pipeline, generator = parts
    ids = generator.prompt_tokenizer.prompt("a photo of a {}", "three").ids[None]
    before = {k: v.clone() for k, v in adapter_of(pipeline).network.state_dict().items()}
    embeddings = generator.embeddings(ids).requires_grad_()
    latents = noise((1, *generator.noise_shape), 0)
    generator.generate(generator.encode(ids, embeddings), latents).sum().backward()
    for network in adapter_of(pipeline).networks().values():
        assert all(p.grad is None and not p.requires_grad for p in network.parameters())
    after = adapter_of(pipeline).network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_words_around_the_class_are_free(parts):
    pipeline, generator = parts
    prompt = generator.prompt_tokenizer.prompt("a photo of a {} here", "three")
    tokenizer = adapter_of(pipeline).text_inputs[0].tokenizer
    free = "".join(tokenizer.convert_ids_to_tokens(prompt.ids[list(prompt.free)]))
    assert free.replace("</w>", "").replace("▁", "") == "aphotoofahere"


def test_an_image_does_not_depend_on_its_neighbors(parts):
    pipeline, one = parts
    generator = Generator(pipeline, one.identity, "cpu", steps=2)
    latents = noise((2, *generator.noise_shape), 3)
    together = generator.generate(encode(generator, 2), latents)
    alone = generator.generate(encode(generator), latents[1:])
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-5)


def test_identity_is_the_same_in_every_precision(kind, saved, parts):
    low = load_pipeline(str(saved(kind)), torch.bfloat16)[1]
    assert low == parts[1].identity


def test_missing_parts_are_named(kind, saved, tmp_path):
    folder = shutil.copytree(saved(kind), tmp_path / "copy")
    shutil.rmtree(folder / "scheduler")
    with pytest.raises(UserError, match=r"--generator: .* lacks the folder scheduler"):
        load_pipeline(str(folder), torch.float32)


def test_another_class_of_pipeline_is_refused(saved, tmp_path):
    folder = shutil.copytree(saved("stable-diffusion"), tmp_path / "copy")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "KolorsPipeline"}))
    with pytest.raises(
        UserError, match=r"is a KolorsPipeline; accepted: StableDiffusionPipe.*Sana"
    ):
        load_pipeline(str(folder), torch.float32)


def test_known_generators_have_a_tiny_decoder():
    assert tiny_decoder_of("stabilityai/sd-turbo") == "madebyollin/taesd"
    assert tiny_decoder_of("stabilityai/sdxl-turbo") == "madebyollin/taesdxl"
    assert tiny_decoder_of("somebody/something") is None


def test_steps_that_the_scheduler_refuses_are_named(saved):
    loaded = load_pipeline(str(saved("sana-sprint")), torch.float32)
    with pytest.raises(UserError, match=r"--generator-steps: the scheduler of .* 2000"):
        Generator(*loaded, "cpu", steps=2000)
