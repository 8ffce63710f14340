"""timm's float models by name: aliases, timm's own names, those of the Hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from vitquant.config.values import HUB
from vitquant.core.errors import UserError, first_line
from vitquant.models.adapter import ModelAdapter
from vitquant.models.model import Model, ModelIdentity
from vitquant.models.timm_adapter import TIMM, class_names, timm_cfg
from vitquant.models.timm_build import build, load_weights
from vitquant.models.weights import check_finite

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
    name: str,
    weights: Path | None = None,
    num_classes: int | None = None,
    input_size: tuple[int, int] | None = None,
    tag: str = "",
) -> Model:
    """A pretrained float model in eval mode.

    Args:
        name: an alias, a timm name with or without tag, or ``hf-hub:owner/name``.
        weights: a safetensors file of timm's parameter names, or a folder that
            :func:`vitquant.models.weights.read_tensors` takes, instead of a download.
        num_classes: the classes in ``weights``, where they differ from the architecture's; 0
            leaves the classifier out.
        input_size: (height, width) of the images in pixels, where it differs from the model's own.
            Positions are resampled.
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
    if weights is None or tag:
        _check_classes(name, num_classes, full_name, overlay)
    size = None if input_size == _own_size(full_name, overlay) else input_size
    file = None if weights else _download(name, _repository(full_name, overlay))
    module, arguments = build(full_name, arguments, size, overlay, file)
    if weights is not None:
        load_weights(module, weights, resize=size is not None)
    else:
        check_finite(module.state_dict(), f"MODEL: the weights of {name!r}")
        tag = asked or str(timm_cfg(module).get("tag", ""))
    module.requires_grad_(False)
    state = module.state_dict()
    identity = ModelIdentity.of(
        state,
        name=name,
        architecture=architecture,
        tag=tag,
        arguments=arguments,
    )
    preprocessing = timm.data.resolve_model_data_config(module)
    if size is not None:
        preprocessing["input_size"] = (preprocessing["input_size"][0], *size)
    return Model(module, identity, preprocessing, class_names(module))


def _check_classes(
    name: str, num_classes: int | None, full_name: str, overlay: dict[str, Any] | None
) -> None:
    """Refuse a number of classes that the pretrained weights have not; 0 leaves them out."""
    cfg: Any = timm.get_pretrained_cfg(full_name)
    own = (overlay or {}).get("num_classes", cfg.num_classes if cfg else None)
    if num_classes and own is not None and num_classes != own:
        raise UserError(
            f"--num-classes: the pretrained weights of {name!r} have {own} classes; {own} or 0 (no "
            f"classifier) is accepted, and others with --weights"
        )


def _own_size(full_name: str, overlay: dict[str, Any] | None) -> tuple[int, int] | None:
    """(height, width) in pixels that a model has by default."""
    cfg: Any = timm.get_pretrained_cfg(full_name)
    size = (overlay or {}).get("input_size", cfg.input_size if cfg else None)
    return None if size is None else (size[1], size[2])


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
            f"accepted: {HUB}owner/name of a model of timm or transformers"
        ) from error
    if not timm.is_model(architecture):
        raise UserError(
            f"MODEL: {name!r} is a {architecture}, which the installed timm {timm.__version__} has "
            f"not; accepted: {HUB}owner/name of a model of timm or transformers"
        )
    return cfg | {"hf_hub_id": repository}, architecture, arguments or {}
