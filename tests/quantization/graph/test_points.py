"""What is found in a model: every layer, every matmul, and what cannot be quantized."""

import pytest
import torch
from timm.layers import Conv2dSame, StdConv2d
from timm.models.vision_transformer import Attention
from torch import nn

from vitquant.core.errors import UserError
from vitquant.quantization.graph.points import check_supported, example_inputs, find_points
from vitquant.quantization.layers.interception import intercepted, set_matmuls
from vitquant.workflows.ptq import quantize

# Linears whose input does not depend on the image.
CONSTANT = {"swinv2": 8, "siglip": 1}
BLOCKS = {"swin": 4, "swinv2": 4}


def test_every_layer_and_two_matmuls_a_block_are_found(family, small):
    points = find_points(small.module, example_inputs(small.input_size), small.tokens)
    there = {
        name
        for name, module in small.module.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d))
    }
    names = [point.name for point in points.layers]
    assert set(names) | set(points.constant) == there
    kinds = {"linear": nn.Linear, "conv2d": nn.Conv2d}
    for point in points.layers:
        assert isinstance(small.module.get_submodule(point.name), kinds[point.kind])
    assert len(points.constant) == CONSTANT.get(family, 0)
    blocks = BLOCKS.get(family, 2)
    assert len(points.blocks) == blocks
    assert names[0] == "patch_embed.proj"
    pooling = ("attn_pool",) if family == "siglip" else ()
    assert points.attentions == (*(f"{block}.attn" for block in points.blocks), *pooling)
    assert [p.key for p in points.matmuls] == [(a, i) for a in points.attentions for i in (0, 1)]
    assert not points.unsupported


def test_attention_weights_are_told_from_other_operands(small):
    points = find_points(small.module, example_inputs(small.input_size), small.tokens)
    heads = {n: m.num_heads for n, m in small.module.named_modules() if hasattr(m, "num_heads")}
    found = {p.key: p.heads for p in points.matmuls if p.heads}
    assert found == {(name, 1): heads[name] for name in points.attentions if heads[name] > 1}
    assert found


def test_rows_in_front_of_the_patches_are_found(small):
    points = find_points(small.module, example_inputs(small.input_size), small.tokens)
    prefix = getattr(small.module, "num_prefix_tokens", 0)
    assert points.has_prefix_tokens == bool(prefix)
    for layer in points.layers:
        assert layer.prefix_tokens in (0, prefix)
        if layer.name.startswith("blocks."):
            assert layer.prefix_tokens == prefix
        if layer.name in ("patch_embed.proj", "head"):
            assert not layer.prefix_tokens
    assert all(m.prefix_tokens == prefix for m in points.matmuls if m.index == 1)


def test_looking_leaves_the_model_as_it_was(small, batch):
    before = small.module(batch)
    find_points(small.module, batch)
    assert torch.equal(small.module(batch), before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in small.module.modules())


@pytest.mark.parametrize("family", ["eva02", "beit", "swinv2"], indirect=True)
def test_a_weight_used_by_the_attention_itself_is_attributed(small):
    points = find_points(small.module, example_inputs(small.input_size), small.tokens)
    assert points.functional == {f"{b}.attn.qkv": f"{b}.attn" for b in points.blocks}


def test_a_matmul_is_seen_however_it_is_written(visible, wrapped, images, batch, settings):
    points = find_points(visible, batch)
    assert [p.key for p in points.matmuls] == [(f"blocks.{b}", i) for b in (0, 1) for i in (0, 1)]
    assert points.blocks == ("blocks.0", "blocks.1")
    assert not points.unsupported
    exact = quantize(wrapped(visible), images, settings("w8a8", init_images=4)).model.module
    torch.testing.assert_close(exact(batch), visible(batch), rtol=0, atol=0.02)
    coarse = quantize(wrapped(visible), images, settings("w8a2", init_images=4)).model.module
    for _, module, _ in intercepted(coarse):
        set_matmuls(module, [])
    with_products = quantize(wrapped(visible), images, settings("w8a2", init_images=4))
    assert not torch.equal(coarse(batch), with_products.model.module(batch))


def test_an_unsupported_attention_is_refused_with_its_class(unsupported, wrapped, images, settings):
    module, cls = unsupported
    with pytest.raises(UserError, match=rf"--allow-float: {cls} \(blocks\.0"):
        quantize(wrapped(module), images, settings())


@pytest.mark.parametrize("method", ["rtn", "joint"])
def test_an_unsupported_attention_stays_float_on_request(
    method, unsupported, wrapped, images, batch, settings
):
    module, _ = unsupported
    run = quantize(wrapped(module), images, settings("w8a8", method, allow_float=True))
    assert {name.split(".")[1] for name in run.header.unreached} == {"0", "1"}
    assert {"embed", "head"} <= {layer.name for layer in run.header.layers}
    torch.testing.assert_close(run.model.module(batch), module(batch), rtol=0, atol=0.05)


def test_fast_paths_of_torch_do_not_hide_an_attention(unsupported, batch):
    module, _ = unsupported
    for requires_grad in (True, False):
        points = find_points(module.requires_grad_(requires_grad), batch)
        with pytest.raises(UserError):
            check_supported(module, points)


@pytest.mark.parametrize("kind", [Conv2dSame, StdConv2d])
def test_a_convolution_with_a_forward_of_its_own_is_not_replaced(
    kind, plain, wrapped, images, batch, settings
):
    plain.embed = kind(3, 24, 9, 8).requires_grad_(False)
    with pytest.raises(UserError, match=rf"{kind.__name__} \(embed\)"):
        quantize(wrapped(plain), images, settings())
    run = quantize(wrapped(plain), images, settings("w8a8", allow_float=True))
    assert "embed" not in {layer.name for layer in run.header.layers}
    torch.testing.assert_close(
        run.model.module.embed(batch), plain.embed(batch), rtol=1e-2, atol=1e-2
    )


def test_an_attention_whose_signature_has_changed_still_works(
    make_small, images, batch, settings, monkeypatch
):
    model = make_small("vit")
    expected = quantize(model, images, settings()).model.module(batch)
    forward = Attention.forward

    def changed(self, tokens, *, context=None, **others):
        assert not others
        return forward(self, tokens)

    class Renamed(Attention):
        forward = changed

    for block in model.module.blocks:
        block.attn.__class__ = Renamed
        block.attn.register_forward_pre_hook(
            lambda module, args, kwargs: (args[:1], {"context": 1}), with_kwargs=True
        )
    assert torch.equal(quantize(model, images, settings()).model.module(batch), expected)
