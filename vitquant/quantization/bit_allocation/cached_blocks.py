"""A network of which only what follows a change is computed again."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vitquant.models.adapter import Forward


class CachedBlocks:
    """A network on one batch of images, with the outputs of its transformer blocks.

    Args:
        module: in eval mode; what is in its blocks may be exchanged, the blocks themselves not.
        blocks: their names, in the order in which they run.
        forward: how to get logits from it.
        images: (B, C, H, W), or tokens (B, L).
    """

    def __init__(
        self, module: nn.Module, blocks: Sequence[str], forward: Forward, images: Tensor
    ) -> None:
        self.images = images
        self._module, self._forward = module, forward
        self._blocks = [module.get_submodule(name) for name in blocks]
        self._outputs: list[Any] = []

    @torch.inference_mode()
    def record(self) -> Tensor:
        """Run the whole network, keep what its blocks put out, and return its output (B, ...)."""
        found: list[list[Any]] = [[] for _ in self._blocks]
        handles = [
            block.register_forward_hook(lambda _m, _a, output, own=own: own.append(_copy(output)))
            for block, own in zip(self._blocks, found, strict=True)
        ]
        try:
            output = self._forward(self._module, self.images)
        finally:
            for handle in handles:
                handle.remove()
        # A block that runs twice has no output of its own.
        once = all(len(own) == 1 for own in found)
        self._outputs = [own[0] for own in found] if once else []
        return output

    @torch.inference_mode()
    def run_from(self, start: int) -> Tensor:
        """The output (B, ...) with blocks before the ``start``-th as they were recorded."""
        with _skipped(self._blocks[:start], self._outputs[:start]):
            return self._forward(self._module, self.images)


@contextmanager
def _skipped(blocks: Sequence[nn.Module], outputs: Sequence[Any]) -> Iterator[None]:
    # Without recorded outputs nothing is skipped.
    skipped = list(zip(blocks, outputs, strict=False))
    for block, output in skipped:
        block.forward = lambda *_a, _output=output, **_k: _copy(_output)
    try:
        yield
    finally:
        for block, _ in skipped:
            del block.forward


def _copy(output: Any) -> Any:
    """What follows a block may write into its output."""
    if isinstance(output, Tensor):
        return output.clone()
    return tuple(map(_copy, output)) if isinstance(output, tuple) else output
