"""Float models by name: aliases, timm, the Hub, the bundled miniatures."""

import difflib
import os
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

from vitquant.core.errors import UserError
from vitquant.core.hashing import sha256
from vitquant.data.class_names import ClassNames, imagenet_classes
from vitquant.models.model import Model, ModelIdentity
from vitquant.models.sources import from_miniature as miniatures

HUB = "hf-hub:"
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


def load_float(name: str, weights: Path | None = None, num_classes: int | None = None) -> Model:
    """A pretrained float model in eval mode.

    Args:
        name: an alias, a miniature, a timm name with or without tag, or ``hf-hub:owner/name``.
        weights: a safetensors file of timm's parameter names, instead of a download.
        num_classes: the classes in ``weights``, where they differ from the architecture's.

    Raises:
        UserError: no such model, weights that do not fit, or nothing could be downloaded.
    """
    full_name = ALIASES[name].timm_name if name in ALIASES else name
    arguments: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    overlay: dict[str, Any] | None = None
    if full_name.startswith(HUB):
        overlay, full_name, more = _hub_config(full_name)
        arguments = more | arguments
    architecture, _, tag = full_name.partition(".")
    if not timm.is_model(architecture):
        raise UserError(f"MODEL: {name!r} is not a model{_near(name)}; accepted: {ACCEPTED}")
    if tag and full_name not in (known := timm.list_pretrained(f"{architecture}.*")):
        tags = ", ".join(n.partition(".")[2] for n in known) or "none"
        raise UserError(f"MODEL: {architecture} has no tag {tag!r}; accepted: {tags}")
    if name in miniatures.NAMES and weights is None:
        weights, tag = miniatures.weights_path(name), "bundled"
    elif weights is not None:
        tag = ""
    file = None if weights else _download(name, _repository(full_name, overlay))
    module = _create(full_name, arguments, overlay, file)
    if weights is not None:
        _load_weights(module, weights)
    module.eval().requires_grad_(False)
    tag = tag or ("" if weights else str(module.pretrained_cfg.get("tag", "")))
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


ACCEPTED = (
    f"an alias ({', '.join(ALIASES)}), a miniature ({', '.join(miniatures.NAMES)}), a timm name, "
    f"{HUB}owner/name, or the path of a checkpoint"
)


def create_model(architecture: str, arguments: dict[str, Any]) -> nn.Module:
    """The architecture with random weights, in eval mode.

    Raises:
        UserError: the installed timm does not know it.
    """
    if not timm.is_model(architecture):
        raise UserError(
            f"MODEL: the installed timm {timm.__version__} has no {architecture!r}; "
            f"a timm that has it is needed"
        )
    return timm.create_model(architecture, pretrained=False, **arguments).eval()


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
        raise UserError(f"MODEL: timm cannot build {name!r}: {_first_line(error)}") from error


def _repository(full_name: str, overlay: dict[str, Any] | None) -> str | None:
    """The Hub's name for the pretrained weights."""
    if overlay is not None:
        return overlay["hf_hub_id"]
    cfg = timm.get_pretrained_cfg(full_name)
    return cfg and cfg.hf_hub_id


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
                f"({_first_line(error)}); give a local safetensors file with --weights"
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
            f"MODEL: {name!r} could not be read from the Hub ({_first_line(error)}); "
            f"accepted: {HUB}owner/name of a timm model"
        ) from error
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
            f"{flag}: {path} is not a readable safetensors file ({_first_line(error)}); "
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
    found = module.pretrained_cfg.get("classifier") or ()
    return (found,) if isinstance(found, str) else tuple(found)


def class_names(module: nn.Module) -> ClassNames | None:
    """What a timm model's outputs are called, as far as timm knows."""
    names = module.pretrained_cfg.get("label_names")
    count = getattr(module, "num_classes", 0)
    if names and len(names) == count:
        return ClassNames(tuple(names), tuple(names))
    return imagenet_classes(count) if count else None


def _near(name: str) -> str:
    architecture = name.partition(".")[0]
    known = [*ALIASES, *timm.list_models()]
    near = difflib.get_close_matches(architecture, known, n=1, cutoff=0.7)
    if near:
        return f" (did you mean {near[0]}?)"
    if os.sep in name or name.endswith(".safetensors"):
        return ", and no file has that name"
    return ""


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
