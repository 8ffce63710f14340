"""A module of any class, with what must travel with it."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
from PIL import Image
from torch import Tensor, nn

from vitquant.core.errors import UserError, first_line
from vitquant.data.class_names import ClassNames
from vitquant.models.adapter import MODES
from vitquant.models.model import Model, ModelIdentity
from vitquant.models.module_adapter import (
    SOURCE,
    Build,
    ImageTransform,
    ModuleAdapter,
    Output,
    built,
    example_output,
    name_of,
    transformed,
)
from vitquant.models.rewrites.multihead_attention import replace_multihead_attention
from vitquant.models.weights import check_finite

Transform = ImageTransform | Mapping[str, Any]
"""Of an image to (C, H, W): a function, or arguments of ``timm.data.create_transform``."""

_TRANSFORM = (
    "a function from a PIL image to a float tensor (C, H, W), or a dictionary of arguments of "
    "timm.data.create_transform"
)
_ARGUMENTS = ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode")
# What a transform is tried on where there is no image yet; neither square nor of a usual size.
_EXAMPLE = (640, 500)
_TOLERANCE = 1e-3


def from_module(
    module: nn.Module,
    transform: Transform | None,
    *,
    build: Build | None = None,
    output: Output | None = None,
    input_size: Any = None,
    classes: Sequence[str] | None = None,
    example: Image.Image | None = None,
) -> Model:
    """A copy of a module as a float model in eval mode; the module stays as it is.

    Args:
        module: takes images (B, C, H, W) as its one positional argument.
        transform: what images go through.
        build: builds the network again, for a checkpoint.
        output: picks of what the network returns the tensor that counts; by default all tensors.
        input_size: (C, H, W) of an image behind the transform.
        classes: names of the outputs, where they are logits.
        example: an image to try a function ``transform`` on.

    Raises:
        UserError: the module cannot be run on such images, or built again; or an argument is not
            what is accepted.
    """
    preprocessing = _preprocessing(transform, input_size, example)
    function = transform if callable(transform) else None
    network = _copy(module)
    state = network.state_dict()
    check_finite(state, "model")
    replace_multihead_attention(network)
    images = torch.randn(
        2, *preprocessing["input_size"], generator=torch.Generator().manual_seed(0)
    )
    adapter = ModuleAdapter(build, function, output)
    expected = example_output(network, images, adapter)
    names = None if classes is None else _class_names(classes, expected)
    if names is not None:
        found = _classifiers(network, images, expected)
        adapter = ModuleAdapter(build, function, output, len(names), found)
    if build is not None:
        _check_same(built(build), network, images, expected, adapter)
    identity = ModelIdentity.of(
        state,
        name=type(module).__name__,
        architecture=type(module).__qualname__,
        arguments={} if output is None else {"output": name_of(output)},
        source=SOURCE,
    )
    return Model(network, identity, preprocessing, names, adapter=adapter)


def image_mode(transform: Transform | None, images: Any) -> str:
    """The mode of Pillow in which images go through a transform.

    With a function, that of a list of pictures which all have the same, of one, three or four
    channels; with a dictionary, what has as many channels as it says; otherwise RGB.
    """
    if isinstance(transform, Mapping) and transform.get("input_size"):
        return MODES.get(next(iter(transform["input_size"])), "RGB")
    modes = set()
    if callable(transform) and isinstance(images, list | tuple):
        modes = {getattr(image, "mode", "") for image in images}
    return modes.pop() if len(modes) == 1 and modes <= set(MODES.values()) else "RGB"


def _preprocessing(
    transform: Transform | None, input_size: Any, example: Image.Image | None
) -> dict[str, Any]:
    if isinstance(transform, Mapping):
        return _described(transform, input_size)
    if not callable(transform):
        found = "it is missing" if transform is None else f"{transform!r} is none"
        raise UserError(f"transform: {found}; {_TRANSFORM} is accepted")
    if input_size is None:
        image = Image.new("RGB", _EXAMPLE, "gray") if example is None else example
        size = tuple(transformed(transform, image).shape)
    else:
        size = _size(input_size, "input_size")
    mode = {} if example is None or example.mode not in ("L", "RGBA") else {"mode": example.mode}
    return {"input_size": size} | mode


def _described(given: Mapping[str, Any], input_size: Any) -> dict[str, Any]:
    """Arguments of ``timm.data.create_transform``, with timm's defaults for what is missing."""
    unknown = sorted(set(given) - set(_ARGUMENTS))
    if unknown:
        raise UserError(f"transform: {unknown[0]!r} is none of {', '.join(_ARGUMENTS)}")
    if input_size is not None and given.get("input_size") is not None:
        raise UserError("input_size: transform has one; one of them is accepted")
    asked = dict(given) if input_size is None else {**given, "input_size": input_size}
    if asked.get("input_size") is None:
        raise UserError("transform: input_size is missing; (C, H, W) in pixels is accepted")
    asked["input_size"] = size = _size(asked["input_size"], "transform: input_size")
    channels = size[0]
    if channels not in MODES:
        raise UserError(
            f"transform: images have no {channels} channels; 1, 3 or 4 are accepted, or a function"
        )
    if channels != 3:
        asked = {"mean": (0.5,), "std": (0.5,)} | asked
    for name in ("mean", "std"):
        if len(values := tuple(asked.get(name, (0,)))) not in (1, channels):
            raise UserError(f"transform: {name} has {len(values)} values; {channels} are needed")
    try:
        found = timm.data.resolve_data_config(asked)
        timm.data.create_transform(**found, is_training=False)
    except Exception as error:
        raise UserError(
            f"transform: timm.data.create_transform does not take {asked} "
            f"({type(error).__name__}: {first_line(error)})"
        ) from error
    return {name: found[name] for name in _ARGUMENTS}


def _size(given: Any, label: str) -> tuple[int, ...]:
    size = tuple(given) if isinstance(given, list | tuple) else ()
    if len(size) != 3 or not all(isinstance(side, int) and side > 0 for side in size):
        raise UserError(f"{label}: {given!r} is not (C, H, W), three whole numbers")
    return size


def _copy(module: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(module).cpu().float().eval().requires_grad_(False)
    except (RuntimeError, TypeError) as error:
        raise UserError(
            f"model: {type(module).__name__} cannot be copied ({first_line(error)}); a module "
            f"that copy.deepcopy takes is accepted"
        ) from error


def _class_names(classes: Sequence[str], output: Tensor) -> ClassNames:
    names = () if isinstance(classes, str) else tuple(classes)
    if not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"classes: {classes!r} is not a list of names, one for each output")
    if tuple(output.shape[1:]) != (len(names),):
        raise UserError(
            f"classes: {len(names)} names, and of an image the network returns "
            f"{tuple(output.shape[1:])}; one name for each of its logits is accepted"
        )
    return ClassNames(names, names)


def _classifiers(module: nn.Module, images: Tensor, output: Tensor) -> frozenset[str]:
    """Names of the layers whose output is the network's."""
    found = set()

    def compare(name: str) -> Any:
        def hook(layer: nn.Module, args: tuple[Any, ...], returned: Tensor) -> None:
            if returned.shape == output.shape and torch.equal(returned, output):
                found.add(name)

        return hook

    layers = {n: m for n, m in module.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    handles = [layer.register_forward_hook(compare(name)) for name, layer in layers.items()]
    with torch.inference_mode():
        module(images)
    for handle in handles:
        handle.remove()
    return frozenset(found)


def _check_same(
    other: nn.Module, module: nn.Module, images: Tensor, expected: Tensor, adapter: ModuleAdapter
) -> None:
    """Raise a UserError if what was built is another network: by its names, or with its weights."""
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in other.state_dict().items()}
    for name in sorted(shapes.keys() | wanted.keys()):
        if shapes.get(name) != wanted.get(name):
            raise UserError(
                f"build: the network cannot be built again: it gives {name} {shapes.get(name)}, "
                f"and the module has {wanted.get(name)}; a function that gives the same names and "
                f"shapes is accepted"
            )
    other.load_state_dict(module.state_dict())
    found = example_output(other, images, adapter)
    furthest = _TOLERANCE * float(expected.abs().max())
    if found.shape != expected.shape or not torch.allclose(found, expected, 0, furthest, True):
        raise UserError(
            "build: the network cannot be built again: with the module's weights, what it gives "
            "returns something else; a function that gives the same network is accepted"
        )
