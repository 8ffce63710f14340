"""Quantizing a small model of each family, and getting it back from its file."""

import copy

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import vitquant
from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.core.errors import UserError
from vitquant.core.hashing import sha256
from vitquant.quantization.layers.base import IntLayer
from vitquant.quantization.layers.interception import intercepted
from vitquant.quantization.layers.linear import IntLinear
from vitquant.quantization.quantizers.modules import FrozenQuantizer
from vitquant.workflows.ptq import quantize


def logits(model, batch):
    with torch.inference_mode():
        return model.module(batch)


@pytest.mark.parametrize("method", ["rtn", "joint"])
def test_the_file_gives_back_the_model_bit_for_bit(
    method, small, images, batch, settings, tmp_path
):
    before = sha256(small.module.state_dict())
    quantized = quantize(small, images, settings("w4a4", method))
    assert sha256(small.module.state_dict()) == before
    path = tmp_path / "model.safetensors"
    assert quantized.save(path) == path.stat().st_size
    restored = restore(read_checkpoint(path))
    ours = logits(quantized.model, batch)
    assert ours.isfinite().all()
    assert torch.equal(logits(restored, batch), ours)
    assert restored.preprocessing["mean"] == list(small.preprocessing["mean"])


def test_nothing_that_can_be_quantized_stays_float(small, images, settings):
    quantized = quantize(small, images, settings("w4a4"))
    module = quantized.model.module
    left = {n for n, m in module.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))}
    assert left == set(quantized.header.constant)
    assert sum(len(matmuls) for _, _, matmuls in intercepted(module)) == 2 * len(
        list_blocks(module)
    )


def list_blocks(module):
    return [n for n, m in module.named_modules() if type(m).__name__.endswith("Block")] + [
        n for n, m in module.named_modules() if type(m).__name__ == "AttentionPoolLatent"
    ]


@pytest.mark.parametrize("bits", ["w8a8", "w4a16"])
def test_many_bits_stay_close_to_float(bits, small, images, batch, settings):
    quantized = quantize(small, images, settings(bits, init_images=4))
    noise = logits(quantized.model, batch) - logits(small, batch)
    spread = logits(small, batch).std()
    assert noise.square().mean().sqrt() < (0.03 if bits == "w8a8" else 0.35) * spread


@pytest.mark.parametrize("bits", ["w1.58a8", "w3a3", "w2a4", "w6a6", "w4a8", "w4a16", "w8a8"])
@pytest.mark.parametrize("family", ["vit", "swinv2"], indirect=True)
def test_every_width_survives_its_file(bits, small, images, batch, settings, tmp_path):
    quantized = quantize(small, images, settings(bits, "joint"))
    quantized.save(tmp_path / "model.safetensors")
    restored = restore(read_checkpoint(tmp_path / "model.safetensors"))
    assert torch.equal(logits(restored, batch), logits(quantized.model, batch))


@pytest.mark.parametrize("method", ["rtn", "repq", "dfq", "joint", "block"])
def test_activations_of_16_bit_integers(method, make_small, images, batch, settings, tmp_path):
    model = make_small("vit")
    own = {"patch_embed_bits": "w8i16"}
    quantized = quantize(model, images, settings("w8i16", method, init_images=4, **own))
    quantized.save(tmp_path / "model.safetensors")
    restored = restore(read_checkpoint(tmp_path / "model.safetensors"))
    assert torch.equal(logits(restored, batch), logits(quantized.model, batch))
    quantizers = [m for m in quantized.model.module.modules() if isinstance(m, FrozenQuantizer)]
    assert len(quantizers) == 10 + 2 * 4  # layers, and operands of two products a block
    assert {(q.grid.qmin, q.grid.qmax, int(q.zero_point)) for q in quantizers} == {
        (-32768, 32767, 0)
    }
    assert not any(q.heads or q.prefix.count for q in quantizers)
    assert not any(layer.shifted for layer in quantized.header.layers)


def test_a_miniature_of_16_bit_integers_predicts_what_the_float_one_does():
    run = vitquant.quantize("vit_digits", "w8i16", "digits", method="rtn", samples=64)
    assert run.fidelity.agreement == 1


@pytest.mark.parametrize("family", ["vit", "swinv2", "dinov2"], indirect=True)
def test_16_bit_integers_cost_next_to_nothing(small, images, batch, settings):
    found = {}
    for bits in ("w8a8", "w8i16", "w8a16"):
        quantized = quantize(small, images, settings(bits, init_images=4, patch_embed_bits=bits))
        found[bits] = logits(quantized.model, batch)
    # All three round their weights alike.
    noise = {bits: float((found[bits] - found["w8a16"]).norm()) for bits in ("w8a8", "w8i16")}
    assert 0 < noise["w8i16"] < 0.02 * noise["w8a8"]


def test_fused_and_plain_attention_agree(small, images, batch, settings):
    quantized = quantize(small, images, settings("w4a4")).model
    switches = [m for m in quantized.module.modules() if hasattr(m, "fused_attn")]
    found = []
    for fused in (True, False):
        for module in switches:
            module.fused_attn = fused
        found.append(logits(quantized, batch))
    # A value that lies between two integers may be rounded to the other one.
    assert (found[0] - found[1]).square().mean().sqrt() < 0.05 * found[0].std()


@pytest.mark.parametrize("fused", [True, False])
def test_a_model_quantized_with_plain_attention_counts_the_same_products(
    fused, make_small, images, settings
):
    model = make_small("vit")
    for module in model.module.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = fused
    header = quantize(model, images, settings()).header
    assert [(p.name, p.count) for p in header.products] == [
        ("blocks.0.attn", 2),
        ("blocks.1.attn", 2),
    ]


def test_the_first_layer_and_the_head_have_bits_of_their_own(make_small, images, settings):
    layers = {
        r.name: r for r in quantize(make_small("vit"), images, settings("w3a4")).header.layers
    }
    assert (layers["patch_embed.proj"].weight_bits, layers["patch_embed.proj"].activation_bits) == (
        8,
        8,
    )
    assert {r.weight_bits for n, r in layers.items() if n != "patch_embed.proj"} == {3}
    assert all(r.sqnr_db > 5 for r in layers.values())


def test_sixteen_bit_activations_quantize_no_product(make_small, images, settings, tmp_path):
    quantized = quantize(make_small("vit"), images, settings("w4a16"))
    assert not any(p.count for p in quantized.header.products)
    quantized.save(tmp_path / "m.safetensors")
    names = load_file(tmp_path / "m.safetensors")
    assert {n for n in names if "input" in n} == {
        "patch_embed.proj.input.scale",
        "patch_embed.proj.input.zero_point",
    }


@pytest.mark.parametrize("method", ["rtn", "joint"])
def test_the_same_seed_gives_the_same_file(method, make_small, images, settings, tmp_path):
    for name in ("a", "b"):
        quantize(make_small("swin"), images, settings("w4a4", method)).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_another_seed_gives_other_weights(make_small, images, settings, tmp_path):
    for seed in (0, 1):
        run = quantize(make_small("vit"), images, settings("w4a4", "joint", seed=seed, steps=5))
        run.save(tmp_path / str(seed))
    assert (tmp_path / "0").read_bytes() != (tmp_path / "1").read_bytes()


def test_joint_comes_closer_to_float_than_rtn(make_small, images, batch, settings):
    model = make_small("vit")
    rtn = quantize(model, images, settings("w3a4"))
    run = quantize(model, images, settings("w3a4", "joint", steps=40, lr_weights=1e-3))
    assert [entry["step"] for entry in run.history] == list(range(1, 41))
    assert all(entry["loss"] >= 0 for entry in run.history)
    target = logits(model, batch)
    errors = [(logits(q.model, batch) - target).square().mean() for q in (run, rtn)]
    assert errors[0] < errors[1]
    first, last = (sum(e["loss"] for e in part) for part in (run.history[:8], run.history[-8:]))
    assert last < first


def test_a_model_that_is_rotated_is_left_as_it_was(make_small, images, batch, settings):
    model = make_small("vit")
    before = model.module(batch)
    rotated = quantize(model, images, settings("w8a8", rotate=True)).module
    assert torch.equal(model.module(batch), before)
    assert (rotated(batch) - before).norm() < 0.1 * before.norm()


@pytest.mark.parametrize(("flag", "refused"), [("rotate", True), ("prefix_bits", 8)])
def test_no_images_are_made_for_what_is_refused(flag, refused, make_small, settings):
    made = []
    with pytest.raises(UserError, match=f"--{flag.replace('_', '-')}: "):
        quantize(make_small("swin"), lambda: made.append(1), settings("w4a4", **{flag: refused}))
    assert not made


def test_making_images_leaves_no_trace_in_the_model(make_small, images, settings, tmp_path):
    def made():
        torch.rand(3)
        return images

    for name, source in (("made", made), ("kept", images)):
        run = quantize(make_small("vit"), source, settings("w4a4", "joint", steps=2))
        run.save(tmp_path / name)
    assert (tmp_path / "made").read_bytes() == (tmp_path / "kept").read_bytes()


def test_a_quantized_model_is_not_quantized_again(make_small, images, settings):
    quantized = quantize(make_small("vit"), images, settings())
    with pytest.raises(UserError, match="quantized already"):
        quantize(quantized.model, images, settings())


def test_weights_alone_are_not_quantized_again_either(make_small, images, settings):
    quantized = quantize(make_small("vit"), images, settings("w4a16"))
    with pytest.raises(UserError, match="quantized already"):
        quantize(quantized.model, images, settings())


def test_a_quantized_model_can_be_copied(make_small, images, batch, settings):
    quantized = quantize(make_small("eva02"), images, settings()).model
    twin = copy.deepcopy(quantized.module)
    with torch.inference_mode():
        assert torch.equal(twin(batch), quantized.module(batch))


def test_codes_fit_their_widths(small, images, settings):
    module = quantize(small, images, settings("w3a3", "joint")).model.module
    layers = [m for m in module.modules() if isinstance(m, IntLayer)]
    assert any(isinstance(m, IntLinear) for m in layers)
    for layer in layers:
        assert layer.codes.min() >= layer.grid.qmin
        assert layer.codes.max() <= layer.grid.qmax
