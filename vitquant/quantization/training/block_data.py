"""What a block is called with, and what it is to put out: the data of block-wise reconstruction."""

from itertools import chain
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from vitquant.core.errors import UserError
from vitquant.data.loader import load_batches
from vitquant.quantization.ptq.context import PTQContext
from vitquant.quantization.training.precision import StepPrecision


class BlockData(NamedTuple):
    """Rows of inputs and targets, (N, ...), one for each image, in main memory.

    They are of half precision where that can hold them. args, kwargs: what else the block is called
    with, the same for every image.
    """

    inputs: Tensor
    targets: Tensor
    args: tuple
    kwargs: dict[str, Any]


def features(output: Any) -> Tensor:
    """The tensor that a block puts out, which may have others beside it."""
    return output[0] if isinstance(output, tuple) else output


@torch.no_grad()
def check_blocks_replayable(context: PTQContext) -> None:
    """Raise a UserError if a block of the context's model cannot be called again on other images.

    It cannot if it takes more than one argument that depends on them.
    """
    for name in context.points.blocks:
        one, several = (
            _call(context.float_model, name, context.init_images.batch[:n]) for n in (1, 2)
        )
        _check_same_arguments(context.float_model, name, several, one)


@torch.no_grad()
def capture(
    context: PTQContext, precision: StepPrecision, student: nn.Module, name: str
) -> BlockData:
    """The block ``name`` of ``student`` as it is called on the calibration images, not augmented.

    Raises:
        UserError: an image cannot be read; or the block cannot be called again on other images, as
            in :func:`check_blocks_replayable`.
    """
    count = len(context.images)
    inputs, targets = _Rows(count), _Rows(count)
    loaded = load_batches(
        context.images, range(count), context.model.transform(), context.settings.batch_size
    )
    batches = (images.to(context.device) for images, _ in loaded)
    first = next(batches)
    with precision.autocast():
        # An argument with a row for each image shows by its shape where there is but one.
        common = _call(student, name, first[:1])
        for images in chain([first], batches):
            call = _call(student, name, images)
            _check_same_arguments(student, name, call, common)
            inputs.add(call.rows())
            targets.add(_output(context.float_model, name, images))
    return BlockData(inputs.stored, targets.stored, common.args, common.kwargs)


class _Call(NamedTuple):
    images: int
    x: Tensor | None
    args: tuple
    kwargs: dict[str, Any]

    def rows(self) -> Tensor:
        """The input, which has a row for each image: see :func:`_check_same_arguments`."""
        return cast(Tensor, self.x)


class _ReachedError(Exception):
    """The block has been seen; what lies behind it need not run."""


def _call(model: nn.Module, name: str, images: Tensor) -> _Call:
    calls: list[_Call] = []

    def stop(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        x = args[0] if args and isinstance(args[0], Tensor) else None
        calls.append(_Call(len(images), x, args[1:], kwargs))
        raise _ReachedError

    handle = model.get_submodule(name).register_forward_pre_hook(stop, with_kwargs=True)
    _run_until_reached(model, images, handle)
    return calls[0]


def _output(model: nn.Module, name: str, images: Tensor) -> Tensor:
    outputs: list[Tensor] = []

    def stop(module: nn.Module, args: tuple, output: Any) -> None:
        outputs.append(features(output))
        raise _ReachedError

    handle = model.get_submodule(name).register_forward_hook(stop)
    _run_until_reached(model, images, handle)
    return outputs[0]


def _run_until_reached(
    model: nn.Module, images: Tensor, handle: torch.utils.hooks.RemovableHandle
) -> None:
    try:
        model(images)
    except _ReachedError:
        pass
    finally:
        handle.remove()


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return a is b or bool(a == b)


def _check_same_arguments(model: nn.Module, name: str, call: _Call, other: _Call) -> None:
    by_image = call.x is not None and len(call.x) == call.images
    if not (by_image and _same((call.args, call.kwargs), (other.args, other.kwargs))):
        cls = type(model.get_submodule(name)).__name__
        raise UserError(
            f"--method: block cannot train {cls} ({name}), which takes more from the images than "
            f"one tensor with a row for each; another method is accepted"
        )


class _Rows:
    """Collects a tensor with one row for each of ``count`` images."""

    def __init__(self, count: int) -> None:
        self.count, self.filled = count, 0
        self.stored = torch.empty(0, dtype=torch.float16)

    def add(self, rows: Tensor) -> None:
        if not self.filled:
            self.stored = self.stored.new_empty(self.count, *rows.shape[1:])
        if rows.abs().max() > torch.finfo(self.stored.dtype).max:
            self.stored = self.stored.float()
        self.stored[self.filled : self.filled + len(rows)] = rows
        self.filled += len(rows)
