"""What is found in a model: every layer, every product, and what cannot be reached."""

import pytest
import torch
from timm.layers import Conv2dSame, StdConv2d
from timm.models.vision_transformer import Attention
from torch import nn

from vitquant.core.errors import UserError
from vitquant.quantization.graph.points import check_supported, example_inputs, find_points
from vitquant.quantization.layers.interception import intercepted
from vitquant.workflows.ptq import quantize

# Linears whose input does not depend on the image.
CONSTANT = {"swinv2": 8, "siglip": 1}
BLOCKS = {"swin": 4, "swinv2": 4}


def test_every_layer_and_two_products_a_block_are_found(family, small):
    points = find_points(small.module, example_inputs(small.input_size), small.tokens)
    there = {
        name
        for name, module in small.module.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d))
    }
    assert set(points.layers) | set(points.constant) == there
    assert len(points.constant) == CONSTANT.get(family, 0)
    blocks = BLOCKS.get(family, 2)
    assert len(points.blocks) == blocks
    assert points.layers[0] == "patch_embed.proj"
    pooling = {"attn_pool": 2} if family == "siglip" else {}
    assert points.products == {f"{block}.attn": 2 for block in points.blocks} | pooling
    assert not points.unsupported


def test_attention_weights_are_told_from_other_operands(small):
    points = find_points(small.module, example_inputs(small.input_size), small.tokens)
    heads = {n: m.num_heads for n, m in small.module.named_modules() if hasattr(m, "num_heads")}
    found = {(name, 1): heads[name] for name in points.products if heads[name] > 1}
    assert points.heads == found
    assert found


def test_rows_in_front_of_the_patches_are_found(small):
    points = find_points(small.module, example_inputs(small.input_size), small.tokens)
    prefix = getattr(small.module, "num_prefix_tokens", 0)
    assert set(points.prefix.values()) == ({prefix} if prefix else set())
    if prefix:
        inside = {n for n in points.layers if n.startswith("blocks.")}
        assert inside <= set(points.prefix)
        assert {p for p in points.prefix if p[1:] and p[1] == 1} == {
            (name, 1) for name in points.products
        }
        assert not {"patch_embed.proj", "head"} & set(points.prefix)


def test_looking_leaves_the_model_as_it_was(small, batch):
    before = small.module(batch)
    find_points(small.module, batch)
    assert torch.equal(small.module(batch), before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in small.module.modules())


@pytest.mark.parametrize("family", ["eva02", "beit", "swinv2"], indirect=True)
def test_a_weight_used_by_the_attention_itself_is_attributed(small):
    points = find_points(small.module, example_inputs(small.input_size), small.tokens)
    assert points.functional == {f"{b}.attn.qkv": f"{b}.attn" for b in points.blocks}


def test_a_product_is_seen_however_it_is_written(visible, wrapped, images, batch, settings):
    points = find_points(visible, batch)
    assert points.products == {"blocks.0": 2, "blocks.1": 2}
    assert points.blocks == ["blocks.0", "blocks.1"]
    assert not points.unsupported
    exact = quantize(wrapped(visible), images, settings("w8a8", init_images=4)).model.module
    torch.testing.assert_close(exact(batch), visible(batch), rtol=0, atol=0.02)
    coarse = quantize(wrapped(visible), images, settings("w8a2", init_images=4)).model.module
    for _, module in intercepted(coarse):
        module.products = nn.ModuleList()
    with_products = quantize(wrapped(visible), images, settings("w8a2", init_images=4))
    assert not torch.equal(coarse(batch), with_products.model.module(batch))


def test_an_unreachable_attention_is_refused_with_its_class(unreachable, wrapped, images, settings):
    module, cls = unreachable
    with pytest.raises(UserError, match=rf"--allow-float: {cls} \(blocks\.0"):
        quantize(wrapped(module), images, settings())


@pytest.mark.parametrize("method", ["rtn", "joint"])
def test_an_unreachable_attention_stays_float_on_request(
    method, unreachable, wrapped, images, batch, settings
):
    module, _ = unreachable
    run = quantize(wrapped(module), images, settings("w8a8", method, allow_float=True))
    assert {name.split(".")[1] for name in run.header.unreached} == {"0", "1"}
    assert {"embed", "head"} <= {layer.name for layer in run.header.layers}
    torch.testing.assert_close(run.model.module(batch), module(batch), rtol=0, atol=0.05)


def test_fast_paths_of_torch_do_not_hide_an_attention(unreachable, batch):
    module, _ = unreachable
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
