"""How much each token of an activation counts."""

import pytest
import torch

from vitquant.models.adapter import num_prefix_tokens, token_weights


def weights_of(model, tokens):
    return token_weights(model.module, torch.zeros(2, tokens, 48))


def test_a_class_token_counts_as_much_as_all_patches(make_small):
    weights = weights_of(make_small("vit"), 17)
    assert weights.shape == (17, 1)
    assert weights.mean().item() == pytest.approx(1)
    assert weights[0].item() == pytest.approx(weights[1:].sum().item())


def test_two_class_tokens_share(make_small):
    weights = weights_of(make_small("distilled"), 18)
    assert weights[:2].sum().item() == pytest.approx(weights[2:].sum().item())


def test_registers_count_as_patches(make_small):
    weights = weights_of(make_small("dinov2"), 21)
    assert weights[1].item() == weights[20].item() < weights[0].item()


@pytest.mark.parametrize(("family", "tokens"), [("swin", 16), ("siglip", 16), ("vit", 12)])
def test_where_no_token_stands_out(family, tokens, make_small):
    assert weights_of(make_small(family), tokens) is None


@pytest.mark.parametrize(
    ("family", "shape", "rows"),
    [
        ("vit", (2, 17, 48), 1),
        ("vit", (2, 3, 17, 16), 1),
        ("vit", (2, 48), 0),
        ("vit", (2, 16, 48), 0),
        ("distilled", (2, 18, 48), 2),
        ("dinov2", (2, 21, 48), 5),
        ("swin", (2, 16, 48), 0),
    ],
)
def test_rows_in_front_of_the_patches(family, shape, rows, make_small):
    assert num_prefix_tokens(make_small(family).module, torch.zeros(shape)) == rows
