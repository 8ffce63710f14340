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

# Parameters. The bundled models have at most 1.4 million, DeiT-Tiny 5.7 million. What decides is
# no clock, because the number of threads changes the last bits of a result.
_SMALL = 2_000_000


def bound_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Bound how long threads spin, unless the environment says how they wait.

    To be called before torch is imported; it has no effect after that.
    """
    if not any(name in environment for name in _WAITING):
        environment.update(_BOUNDED)


@contextmanager
def suited_to(parameters: int) -> Iterator[None]:
    """Compute with one thread in this context if a model is small.

    The number of threads is left as it is where the environment names one (``OMP_NUM_THREADS``,
    ``MKL_NUM_THREADS``), and is what it was before at the end.

    Args:
        parameters: of the model, or of the largest where there are several.
    """
    if parameters >= _SMALL or any(name in os.environ for name in _COUNTS):
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
