"""The operators that are lowered compute what the quantized layers do."""

from importlib.util import find_spec

import pytest
import torch

from vitquant.evaluation.agreement import compare_outputs
from vitquant.exporters.executorch.layers import xnnpack_ops


@pytest.mark.skipif(find_spec("executorch") is None, reason="ExecuTorch is not installed")
@pytest.mark.parametrize("bits", ["w8a8", "w4a4", "w1.58a8"])
def test_levels_are_those_of_the_checkpoint(bits, quantized, batch):
    import executorch.exir  # noqa: F401, which registers the operators

    model, header = quantized("vit", bits)
    with torch.inference_mode():
        expected = model.module(batch)
        with xnnpack_ops(model.module, False) as ran:
            found = model.module(batch)
    assert sorted(ran) == sorted(layer.name for layer in header.layers)
    assert compare_outputs(expected, found, 10).difference < 0.02
