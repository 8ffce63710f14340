"""Networks of any class: what a user of Python tells of one beside the network itself."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor, nn

from vitquant.core.errors import UserError, first_line
from vitquant.models.adapter import ModelAdapter
from vitquant.models.rewrites.multihead_attention import replace_multihead_attention

Build = Callable[[], nn.Module]
"""Builds a network again, with any weights."""
Output = Callable[[Any], Tensor]
"""Of what a network returns, the tensor that counts."""
ImageTransform = Callable[[Image.Image], Tensor]
"""PIL image → (C, H, W), float."""

SOURCE = "module"


class ModuleAdapter(ModelAdapter):
    """A network that nobody but its user knows.

    Args:
        build: builds it again; None where it cannot be.
        transform: what its images go through, where its preprocessing does not say.
        output: see :data:`Output`; by default every tensor that the network returns, see
            :func:`joined`.
        num_classes: how many logits the output has; 0 where they are none.
        classifiers: names of the layers that give the logits.
    """

    source = SOURCE

    def __init__(
        self,
        build: Build | None = None,
        transform: ImageTransform | None = None,
        output: Output | None = None,
        num_classes: int = 0,
        classifiers: frozenset[str] = frozenset(),
    ) -> None:
        self.build, self._transform, self._output = build, transform, output
        self._num_classes, self._classifiers = num_classes, classifiers

    def output(self, returned: Any) -> Tensor:
        return joined(returned) if self._output is None else self._output(returned)

    def num_classes(self, module: nn.Module) -> int:
        return self._num_classes

    def classifier_names(self, module: nn.Module) -> set[str]:
        return set(self._classifiers)

    def transform(self, preprocessing: dict[str, Any]) -> ImageTransform:
        if self._transform is None:
            return super().transform(preprocessing)
        return _Checked(self._transform, tuple(preprocessing["input_size"]), preprocessing)

    def check_can_be_saved(self) -> None:
        if self.build is None:
            raise UserError(
                "build: nothing builds this network again, and a checkpoint holds no code; "
                "quantize it with build=, a function without arguments that returns such a network"
            )

    def rebuild(self, architecture: str, arguments: dict[str, Any]) -> nn.Module:
        if self.build is None:
            raise UserError(
                f"build: {architecture} is a class in Python; build=, a function without arguments "
                f"that returns such a network, is needed"
            )
        return built(self.build)


class _Checked:
    """The user's transform, which has to give what the network takes."""

    def __init__(
        self, transform: ImageTransform, size: tuple[int, ...], preprocessing: dict[str, Any]
    ) -> None:
        self.transform, self.size, self.mode = transform, size, preprocessing.get("mode", "RGB")

    def __call__(self, image: Image.Image) -> Tensor:
        found = transformed(self.transform, image.convert(self.mode))
        if tuple(found.shape) != self.size:
            raise UserError(
                f"transform: of an image of {image.width}x{image.height} pixels it makes "
                f"{tuple(found.shape)}; {self.size} for every image is accepted"
            )
        return found


def transformed(transform: ImageTransform, image: Image.Image) -> Tensor:
    """(C, H, W): what a user's transform makes of an image.

    Raises:
        UserError: it fails, or makes something else.
    """
    try:
        found = transform(image)
    except Exception as error:
        raise UserError(
            f"transform: it fails on an image of {image.width}x{image.height} pixels in mode "
            f"{image.mode} ({_what(error)})"
        ) from error
    if not isinstance(found, Tensor) or found.dim() != 3 or not found.is_floating_point():
        what = (
            f"a {found.dtype} tensor of {tuple(found.shape)}"
            if isinstance(found, Tensor)
            else (f"a {type(found).__name__}")
        )
        raise UserError(
            f"transform: it returns {what}; a float tensor (C, H, W) of one image is accepted"
        )
    return found


def built(build: Build) -> nn.Module:
    """A new network, float, in eval mode, on the CPU and in the form that is quantized.

    Raises:
        UserError: it cannot be built.
    """
    try:
        module = build()
    except Exception as error:
        raise UserError(
            f"build: the network cannot be built again ({_what(error)}); a function without "
            f"arguments that returns such a network is accepted"
        ) from error
    if not isinstance(module, nn.Module):
        raise UserError(f"build: it returns a {type(module).__name__}; an nn.Module is accepted")
    replace_multihead_attention(module)
    return module.cpu().float().eval()


@torch.inference_mode()
def example_output(module: nn.Module, images: Tensor, adapter: ModelAdapter) -> Tensor:
    """What counts of what a network returns for ``images`` (B, C, H, W).

    Raises:
        UserError: it cannot be run on them, or has no such output.
    """
    shape = tuple(images.shape)
    try:
        returned = module(images)
    except Exception as error:
        raise UserError(
            f"model: {type(module).__name__} cannot be run on images {shape} ({_what(error)}); "
            f"a network that takes what transform= makes of images is accepted"
        ) from error
    try:
        output = adapter.output(returned)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"output: it fails on what the network returns ({_what(error)})") from error
    if not isinstance(output, Tensor) or output.dim() < 2 or len(output) != len(images):
        what = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise UserError(
            f"output: for {len(images)} images it is {what}; a tensor with a row for each is "
            f"accepted"
        )
    return output


def joined(returned: Any) -> Tensor:
    """All that a network returns: its one tensor, or several flattened, one behind the other.

    Tensors (B, ...) in lists, tuples, dictionaries and dataclasses become (B, N). What holds no
    floating-point numbers is left out.

    Raises:
        UserError: there is none, or one has another first dimension than the others.
    """
    tensors = [tensor for tensor in _tensors(returned) if tensor.is_floating_point()]
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if not tensors or any(shape[:1] != shapes[0][:1] or not shape for shape in shapes):
        found = ", ".join(map(str, shapes)) or f"a {type(returned).__name__} without any"
        raise UserError(
            f"output: the network returns {found}; tensors with a row for each image are "
            f"accepted, or output=, a function that picks one of what it returns"
        )
    if len(tensors) == 1:
        return tensors[0]
    return torch.cat([tensor.flatten(1) for tensor in tensors], 1)


def _tensors(returned: Any) -> Iterator[Tensor]:
    """In the order of the fields."""
    if isinstance(returned, Tensor):
        yield returned
        return
    parts: Any = ()
    if isinstance(returned, Mapping):
        parts = returned.values()
    elif isinstance(returned, list | tuple):
        parts = returned
    elif dataclasses.is_dataclass(returned):
        parts = vars(returned).values()
    for part in parts:
        yield from _tensors(part)


def _what(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(error)}"


def name_of(function: Callable[..., Any]) -> str:
    """What a function is called."""
    return cast(str, getattr(function, "__qualname__", type(function).__name__))
