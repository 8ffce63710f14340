"""The entropy of the similarities between patches."""

import math

import pytest
import torch

from vitquant.quantization.graph.points import example_inputs, find_points
from vitquant.synthesis.inversion.patch_entropy import attention_tokens, similarity_entropy


def on_a_circle(angles):
    """(1, N, 2)."""
    return torch.stack([angles.cos(), angles.sin()], -1)[None]


def test_varied_patches_have_a_higher_entropy():
    rng = torch.Generator().manual_seed(0)
    alike = torch.ones(1, 40, 8) + 0.01 * torch.randn(1, 40, 8, generator=rng)
    varied = torch.cat([torch.randn(1, 20, 8, generator=rng), alike[:, :20]], 1)
    assert similarity_entropy(varied) > similarity_entropy(alike) + 1


def test_it_is_near_the_exact_one():
    # Cosines of angles between two clusters: -1 and 1 alone, smoothed by a kernel of the spacing,
    # whose tails beyond two bandwidths the grid leaves out.
    tokens = on_a_circle(torch.tensor([0.0, 0.0, 0.0, math.pi, math.pi, math.pi]))
    spacing = 2 / (16 - 1 - 4)
    shares = torch.tensor([6 / 15, 9 / 15])
    exact = -(shares * shares.log()).sum() + 0.5 * math.log(2 * math.pi * math.e * spacing**2)
    assert similarity_entropy(tokens).item() == pytest.approx(exact.item(), abs=0.1)


def test_scale_and_order_do_not_matter():
    tokens = torch.randn(2, 12, 6, generator=torch.Generator().manual_seed(0))
    wanted = similarity_entropy(tokens)
    assert torch.allclose(similarity_entropy(3 * tokens.flip(1)), wanted, atol=1e-5)


def test_images_do_not_touch_each_other():
    tokens = torch.randn(3, 12, 6, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([similarity_entropy(t[None]) for t in tokens])
    assert torch.allclose(similarity_entropy(tokens), alone, atol=1e-6)


def test_the_gradient_is_that_of_the_kernels_alone(monkeypatch):
    tokens = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0)).double()
    grid = -torch.ones(2, 16).double() + torch.arange(16).double() * 2 / 15
    width = torch.full((2, 1), 2 / 15).double()
    monkeypatch.setattr(
        "vitquant.synthesis.inversion.patch_entropy._grid", lambda v, n: (grid, width)
    )
    assert torch.autograd.gradcheck(similarity_entropy, tokens.requires_grad_())


def test_identical_patches_have_an_entropy_and_a_gradient():
    tokens = torch.ones(1, 5, 4, requires_grad=True)
    similarity_entropy(tokens).sum().backward()
    assert tokens.grad.isfinite().all()


@pytest.mark.parametrize(("family", "count"), [("vit", 16), ("distilled", 16), ("dinov2", 16)])
def test_class_and_register_tokens_are_left_out(family, count, make_small):
    model = make_small(family)
    points = find_points(model.module, example_inputs(model.input_size), model.tokens)
    with attention_tokens(model, list(points.attentions)) as tokens:
        model.module(torch.randn(3, 3, 32, 32))
        assert [t.shape for t in tokens] == [(3, count, 48)] * 2


def test_windows_are_put_together(make_small):
    model = make_small("swin")
    points = find_points(model.module, example_inputs(model.input_size), model.tokens)
    with attention_tokens(model, list(points.attentions)) as tokens:
        model.module(torch.randn(3, 3, 32, 32))
        assert [t.shape for t in tokens] == [(3, 256, 24)] * 2 + [(3, 64, 48)] * 2
