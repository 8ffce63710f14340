"""Patches that a pass does not compute."""

import pytest
import torch

from vitquant.quantization.graph.points import example_inputs, find_points
from vitquant.synthesis.inversion.patch_drop import can_drop, patches_kept


def blocks(model):
    return find_points(model.module, example_inputs(model.input_size), model.tokens).blocks


@pytest.mark.parametrize("family", ["vit", "distilled"])
def test_the_order_of_patches_does_not_matter_to_a_plain_transformer(family, make_small):
    model = make_small(family)
    assert can_drop(model, blocks(model))


@pytest.mark.parametrize("family", ["swin", "swinv2"])
def test_windows_need_all_patches(family, make_small):
    model = make_small(family)
    assert not can_drop(model, blocks(model))


def test_a_bias_by_distance_needs_the_order(model, monkeypatch):
    attention = model.module.blocks[0].attn
    forward = attention.forward
    monkeypatch.setattr(
        attention, "forward", lambda x, *a, **k: forward(x, *a, **k) + x.cumsum(1), raising=False
    )
    assert not can_drop(model, blocks(model))


def test_so_many_are_computed_of_each_image(model):
    seen = []
    first, last = blocks(model)[0], model.module.get_submodule(blocks(model)[-1])
    handle = last.register_forward_hook(lambda module, args, output: seen.append(output))
    images = torch.randn(2, *model.input_size, generator=torch.Generator().manual_seed(0))
    with patches_kept(model, first) as kept:
        kept.indices = torch.tensor([[0, 1, 2], [3, 4, 5]])
        model(images)
        swapped = kept.indices.flip(0)
        kept.indices = swapped
        model(images.flip(0))
    model(images)
    handle.remove()
    prefix, patches = model.tokens.num_prefix_tokens, model.tokens.patches
    assert [len(s[0]) for s in seen] == [prefix + 3, prefix + 3, prefix + patches]
    assert torch.allclose(seen[0], seen[1].flip(0), atol=1e-5)
