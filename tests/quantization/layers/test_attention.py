"""Attention taken apart computes what torch's fused function computes."""

import pytest
import torch
import torch.nn.functional as F

from vitquant.quantization.layers.attention import decomposed_sdpa

MASKS = {
    "none": {},
    "scale": {"scale": 0.3},
    "additive": {"attn_mask": torch.linspace(-3, 3, 35).view(5, 7)},
    "boolean": {"attn_mask": torch.arange(35).view(5, 7) % 3 > 0},
    "causal": {"is_causal": True},
}


@pytest.mark.parametrize("mask", MASKS)
def test_every_option_of_the_fused_function(mask):
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, 8, generator=generator) for n in (5, 7, 7))
    expected = F.scaled_dot_product_attention(q, k, v, **MASKS[mask])
    torch.testing.assert_close(
        decomposed_sdpa(torch.matmul, torch.matmul, q, k, v, **MASKS[mask]), expected
    )


def test_grouped_queries():
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, heads, 5, 8, generator=generator) for heads in (6, 2, 2))
    expected = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    found = decomposed_sdpa(torch.matmul, torch.matmul, q, k, v, enable_gqa=True)
    torch.testing.assert_close(found, expected)


def test_dropout_falls_on_the_weights():
    torch.manual_seed(0)
    q = k = torch.zeros(1, 1, 4, 8)
    v = torch.ones(1, 1, 4, 8)
    found = decomposed_sdpa(torch.matmul, torch.matmul, q, k, v, dropout_p=0.5)
    assert {0.0, 0.5, 1.0, 1.5, 2.0} >= set(found.unique().tolist())
