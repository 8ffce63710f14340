"""timm's float models by name: aliases, timm's own names, those of the Hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vitquant.core.errors import UserError, first_line
from vitquant.core.hashing import sha256
from vitquant.models.adapter import ModelAdapter
from vitquant.models.model import Model, ModelIdentity
from vitquant.models.timm_adapter import TIMM, class_names, timm_cfg

HUB = "hf-hub:"
ADAPTER: ModelAdapter = TIMM
# timm uploads the first; towers converted from open_clip carry the second.
_HUB_FILES = ("model.safetensors", "open_clip_model.safetensors")


@dataclass(frozen=True)
class Alias:
    """A timm name with its tag, and its published top-1 on ImageNet-1k in percent."""

    timm_name: str
    top1: float


ALIASES: dict[str, Alias] = {
    "vit_tiny": Alias("vit_tiny_patch16_224.augreg_in21k_ft_in1k", 75.45),
    "vit_small": Alias("vit_small_patch16_224.augreg_in21k_ft_in1k", 81.39),
    "vit_base": Alias("vit_base_patch16_224.augreg_in21k_ft_in1k", 84.54),
    "deit_tiny": Alias("deit_tiny_patch16_224.fb_in1k", 72.21),
    "deit_small": Alias("deit_small_patch16_224.fb_in1k", 79.85),
    "deit_base": Alias("deit_base_patch16_224.fb_in1k", 81.80),
    "swin_tiny": Alias("swin_tiny_patch4_window7_224.ms_in1k", 81.35),
    "swin_small": Alias("swin_small_patch4_window7_224.ms_in1k", 83.23),
    "swin_base": Alias("swin_base_patch4_window7_224.ms_in1k", 83.61),
}


ACCEPTED = f"an alias ({', '.join(ALIASES)}), a timm name, {HUB}owner/name"


def names() -> list[str]:
    """What may be meant by a name that is misspelt."""
    return [*ALIASES, *timm.list_models()]


def claims(name: str) -> bool:
    """Whether timm has such a model, or reads it from the Hub."""
    return name in ALIASES or name.startswith(HUB) or timm.is_model(name.partition(".")[0])


def load(
    name: str, weights: Path | None = None, num_classes: int | None = None, tag: str = ""
) -> Model:
    """A pretrained float model in eval mode.

    Args:
        name: an alias, a timm name with or without tag, or ``hf-hub:owner/name``.
        weights: a safetensors file of timm's parameter names, instead of a download.
        num_classes: the classes in ``weights``, where they differ from the architecture's.
        tag: of the weights in the file; by default nobody knows.

    Raises:
        UserError: no such model, weights that do not fit, or nothing could be downloaded.
    """
    full_name = ALIASES[name].timm_name if name in ALIASES else name
    arguments: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    overlay: dict[str, Any] | None = None
    if full_name.startswith(HUB):
        overlay, full_name, more = _hub_config(full_name)
        arguments = more | arguments
    architecture, _, asked = full_name.partition(".")
    if asked and full_name not in (known := timm.list_pretrained(f"{architecture}.*")):
        tags = ", ".join(n.partition(".")[2] for n in known) or "none"
        raise UserError(f"MODEL: {architecture} has no tag {asked!r}; accepted: {tags}")
    file = None if weights else _download(name, _repository(full_name, overlay))
    module = _create(full_name, arguments, overlay, file)
    if weights is not None:
        _load_weights(module, weights)
    module.eval().requires_grad_(False)
    if weights is None:
        tag = asked or str(timm_cfg(module).get("tag", ""))
    state = module.state_dict()
    identity = ModelIdentity(
        name=name,
        architecture=architecture,
        tag=tag,
        arguments=arguments,
        weights_sha256=sha256(state),
        float_bytes=sum(t.numel() * t.element_size() for t in state.values()),
    )
    preprocessing = timm.data.resolve_model_data_config(module)
    return Model(module, identity, preprocessing, class_names(module))


def _create(
    name: str, arguments: dict[str, Any], overlay: dict[str, Any] | None, file: str | None
) -> nn.Module:
    changes = dict(overlay or {})
    if file is not None:
        changes["file"] = file
    try:
        return timm.create_model(
            name, pretrained=file is not None, pretrained_cfg_overlay=changes or None, **arguments
        )
    except (RuntimeError, ValueError) as error:
        raise UserError(f"MODEL: timm cannot build {name!r}: {first_line(error)}") from error


def _repository(full_name: str, overlay: dict[str, Any] | None) -> str | None:
    """The Hub's name for the pretrained weights."""
    if overlay is not None:
        return str(overlay["hf_hub_id"])
    cfg: Any = timm.get_pretrained_cfg(full_name)
    return cfg.hf_hub_id if cfg else None


def _download(name: str, repository: str | None) -> str:
    """Path of the pretrained safetensors file in the hub's cache."""
    if not repository:
        raise UserError(
            f"MODEL: timm has no pretrained weights for {name!r} on the Hub; "
            f"give a safetensors file with --weights"
        )
    for file in _HUB_FILES:
        try:
            return hf_hub_download(repository, file)
        except Exception as error:
            # No connection is a kind of missing entry to the client, but another file is no help.
            if isinstance(error, EntryNotFoundError) and not isinstance(
                error, LocalEntryNotFoundError
            ):
                continue
            raise UserError(
                f"MODEL: the weights of {name!r} could not be downloaded from {repository} "
                f"({first_line(error)}); give a local safetensors file with --weights"
            ) from error
    raise UserError(
        f"MODEL: {repository} holds no safetensors weights, and vitquant reads no others; "
        f"give a safetensors file with --weights"
    )


def _hub_config(name: str) -> tuple[dict[str, Any], str, dict[str, Any]]:
    repository = name.removeprefix(HUB)
    try:
        cfg, architecture, arguments = timm.models.load_model_config_from_hf(repository)
    except Exception as error:
        raise UserError(
            f"MODEL: {name!r} could not be read from the Hub ({first_line(error)}); "
            f"accepted: {HUB}owner/name of a timm model"
        ) from error
    if not timm.is_model(architecture):
        raise UserError(
            f"MODEL: {name!r} is a {architecture}, which the installed timm {timm.__version__} has "
            f"not; accepted: {HUB}owner/name of a timm model"
        )
    return cfg | {"hf_hub_id": repository}, architecture, arguments or {}


def read_tensors(path: Path, flag: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU.

    Raises:
        UserError: the file is missing, cut short, or something else.
    """
    if not path.is_file():
        raise UserError(f"{flag}: {path} is not a file; a safetensors file is accepted")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"{flag}: {path} is not a readable safetensors file ({first_line(error)}); "
            f"it may be cut short or of another format"
        ) from error


def _load_weights(module: nn.Module, path: Path) -> None:
    tensors = read_tensors(path, "--weights")
    expected = module.state_dict()
    for name in sorted(expected.keys() & tensors.keys()):
        given, wanted = tuple(tensors[name].shape), tuple(expected[name].shape)
        if given == wanted:
            continue
        if given[1:] == wanted[1:] and name.startswith(_classifiers(module)):
            raise UserError(
                f"--weights: {path} has {given[0]} classes, the model {wanted[0]}; "
                f"say --num-classes {given[0]}"
            )
        raise UserError(f"--weights: {path}: {name} is {given}, the model needs {wanted}")
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected)
    if missing or extra:
        what = f"lacks {missing[0]}" if missing else f"has {extra[0]}, which the model lacks"
        raise UserError(
            f"--weights: {path} {what} ({len(missing)} names missing, {len(extra)} unknown); "
            f"weights of the same architecture with timm's names are accepted"
        )
    with torch.no_grad():
        module.load_state_dict({name: t.float() for name, t in tensors.items()})


def _classifiers(module: nn.Module) -> tuple[str, ...]:
    """Names of the layers that give the classes; a distilled model has two."""
    found = timm_cfg(module).get("classifier") or ()
    return (found,) if isinstance(found, str) else tuple(found)
