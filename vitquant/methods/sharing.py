"""Searches that several processes divide between them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vitquant import parallel


class Search(NamedTuple):
    """run: finds values and sets ``results`` to them, in place."""

    run: Callable[[], None]
    results: list[Tensor]


@torch.no_grad()
def share(searches: Sequence[Search]) -> None:
    """Run each search in one of the processes and give the results to all; none may need another's.

    In a single process, they all run here.
    """
    for i, search in enumerate(searches):
        if i % parallel.size() == parallel.rank():
            search.run()
        else:
            for result in search.results:
                result.zero_()
    # Each result is added to zeros, which is exact.
    parallel.sum_([result for search in searches for result in search.results])
