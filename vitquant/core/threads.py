"""How many threads torch computes with on a CPU.

How long they spin for each other is left to the runtime: measured beside a busy process, a bounded
spin count made DeiT-Tiny three times slower (docs/research-log.md#threads).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")

# Parameters times pixels of an image, which grows as the operations for an image do. The bundled
# models and their generator stay below 2e9, DeiT-Tiny has 3e11. No clock decides, because the
# number of threads may change the last bits of a result.
_SMALL = 1e10


@contextmanager
def limited_to(count: int) -> Iterator[None]:
    """Compute with ``count`` threads in this context."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def suited_to(image_cost: float) -> Iterator[None]:
    """Compute with one thread in this context if an image costs little: there, threads wait for
    each other longer than they compute.

    The number of threads is left as it is where the environment names one (``OMP_NUM_THREADS``,
    ``MKL_NUM_THREADS``), and is what it was before at the end.

    Args:
        image_cost: parameters times pixels of an image, of all models that work on it.
    """
    if image_cost >= _SMALL or any(name in os.environ for name in _COUNTS):
        yield
        return
    with limited_to(1):
        yield
