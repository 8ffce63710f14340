"""A timm module that the caller already has, with what must travel with it."""

import copy
from typing import Any

import timm
from torch import nn

from vitquant.core.errors import UserError, first_line
from vitquant.models.model import Model, ModelIdentity
from vitquant.models.timm_adapter import class_names, create_model, timm_cfg
from vitquant.models.weights import check_finite


def from_timm_module(module: nn.Module, arguments: dict[str, Any] | None = None) -> Model:
    """A copy of a timm module as a float model in eval mode; the module stays as it is.

    Args:
        module: what ``timm.create_model`` returned, its weights perhaps changed since.
        arguments: further arguments that it was created with. By default those that timm has
            recorded, and the number of classes; the network has to be built again from them.

    Raises:
        UserError: it is no timm model, or other arguments are needed to build it again.
    """
    cfg = timm_cfg(module)
    architecture = cfg.get("architecture", "")
    if not timm.is_model(architecture):
        raise UserError(
            f"model: a {type(module).__name__} that timm does not know; a model that "
            f"timm.create_model returned is accepted, or the name of one, or any module with "
            f"transform= and build=; one of transformers also as the folder of save_pretrained"
        )
    if arguments is None:
        arguments = _arguments(module, cfg)
    module = copy.deepcopy(module).eval().requires_grad_(False)
    state = module.state_dict()
    check_finite(state, "model")
    _check(architecture, arguments, {name: tuple(t.shape) for name, t in state.items()})
    identity = ModelIdentity.of(
        state,
        name=architecture,
        architecture=architecture,
        # The weights may have been changed since the tag was loaded.
        tag="",
        arguments=arguments,
    )
    return Model(module, identity, _preprocessing(module), class_names(module))


def _arguments(module: nn.Module, cfg: dict[str, Any]) -> dict[str, Any]:
    # Newer releases of timm keep them; the number of classes can be told in any.
    arguments = dict(getattr(module, "_model_args", {}))
    count = getattr(module, "num_classes", None)
    if count is not None and count != cfg.get("num_classes"):
        arguments["num_classes"] = count
    return arguments


def _check(
    architecture: str, arguments: dict[str, Any], shapes: dict[str, tuple[int, ...]]
) -> None:
    try:
        built = create_model(architecture, arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"arguments: timm cannot build {architecture} with {arguments} ({first_line(error)}); "
            f"the arguments that it was created with are accepted"
        ) from error
    wanted = {name: tuple(t.shape) for name, t in built.state_dict().items()}
    for name in sorted(shapes.keys() | wanted.keys()):
        if shapes.get(name) != wanted.get(name):
            raise UserError(
                f"arguments: timm's {architecture} with {arguments} has {name} "
                f"{wanted.get(name)}, the model {shapes.get(name)}; give the arguments that it "
                f"was created with, such as arguments={{'img_size': 384}}"
            )


def _preprocessing(module: nn.Module) -> dict[str, Any]:
    found = timm.data.resolve_model_data_config(module)
    # Releases of timm differ in whether this knows of an img_size that was asked for.
    size = getattr(getattr(module, "patch_embed", None), "img_size", None)
    if size is not None:
        found["input_size"] = (found["input_size"][0], *size)
    channels = _channels(module)
    if channels == 1:  # of gray images, which timm has no mean and no deviation of
        found["input_size"] = (1, *found["input_size"][1:])
        found |= {name: (sum(found[name]) / len(found[name]),) for name in ("mean", "std")}
    elif channels != found["input_size"][0]:
        raise UserError(
            f"model: {type(module).__name__} takes images of {channels} channels; with 1 or 3 it "
            f"is accepted as it is, with others if transform= and build= are given"
        )
    return found


def _channels(module: nn.Module) -> int:
    """How many channels an image has for a timm model, by its first convolution."""
    named: Any = timm_cfg(module).get("first_conv") or ()
    first = {named} if isinstance(named, str) else set(named)
    layers = [m for name, m in module.named_modules() if name in first]
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    return convolutions[0].in_channels if convolutions else 3
