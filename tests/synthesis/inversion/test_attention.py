"""Attention by two matmuls."""

import torch

from vitquant.synthesis.inversion.attention import MatmulAttention


def test_the_model_computes_the_same(model):
    images = torch.randn(2, *model.input_size, generator=torch.Generator().manual_seed(0))
    whole = model(images)
    with MatmulAttention():
        assert torch.allclose(model(images), whole, atol=1e-4)
