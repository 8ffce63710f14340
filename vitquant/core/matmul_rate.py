"""How fast a device multiplies matrices."""

import time

import torch

_SIDES = {"cpu": 1024, "cuda": 4096}
_SECONDS = 0.2


@torch.no_grad()
def matmul_rate(device: torch.device | str, dtype: torch.dtype) -> float:
    """FLOP/s of a product of two large square matrices, a multiplication and an addition being two.

    Takes some tenths of a second. A network, which does more than multiply, reaches less.
    """
    device = torch.device(device)
    side = _SIDES.get(device.type, 1024)
    left, right = torch.randn(2, side, side, device=device).to(dtype)
    _multiply(left, right, 1)
    count, seconds = 1, 0.0
    while seconds < _SECONDS:
        count *= 2
        seconds = _multiply(left, right, count)
    return 2 * side**3 * count / seconds


def _multiply(left: torch.Tensor, right: torch.Tensor, count: int) -> float:
    """Seconds that so many products take."""
    start = time.perf_counter()
    for _ in range(count):
        product = left @ right
    product.flatten()[0].item()  # waits for a GPU
    return time.perf_counter() - start
