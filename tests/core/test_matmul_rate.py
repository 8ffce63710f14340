"""How fast a device multiplies matrices."""

import pytest
import torch

from vitquant.core import matmul_rate as module


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_operations_over_seconds(monkeypatch, dtype):
    """With a clock that says that each product takes a hundredth of a second."""
    monkeypatch.setattr(module, "_multiply", lambda left, right, count: count / 100)
    assert module.matmul_rate("cpu", dtype) == pytest.approx(2 * 1024**3 * 100)


def test_it_measures():
    assert module.matmul_rate("cpu", torch.float32) > 0
