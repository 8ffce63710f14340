"""How many threads torch computes with on a CPU, and how long they spin for each other.

Importing this imports no torch: the runtime of its threads reads the environment only once, when
torch is imported.
"""

import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

# torch brings GNU's libgomp on Linux, LLVM's libomp on macOS, Intel's libiomp5 on Windows; in an
# environment of conda it may be the latter two on Linux too. Each reads its own variable alone.
# GOMP_SPINCOUNT counts rounds of an empty loop, of which libgomp reckons 100,000 a millisecond;
# KMP_BLOCKTIME is in milliseconds, and older releases know no smaller unit.
_BOUNDED = {"GOMP_SPINCOUNT": "20000", "KMP_BLOCKTIME": "1"}
_WAITING = ("OMP_WAIT_POLICY", "KMP_LIBRARY", *_BOUNDED)
_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")

# Parameters times pixels of an image, which grows as the operations for an image do. The bundled
# models and their generator stay below 2e9, DeiT-Tiny has 3e11. No clock decides, because the
# number of threads may change the last bits of a result.
_SMALL = 1e10


def bound_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Bound how long threads spin, unless the environment says how they wait.

    To be called before torch is imported; it has no effect after that.
    """
    if not any(name in environment for name in _WAITING):
        environment.update(_BOUNDED)


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
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
