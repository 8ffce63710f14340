"""Build a timm model for an input size, and load weights from a file into it."""

import copy
import sys
import warnings
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from vitquant.config.values import format_input_size
from vitquant.core.errors import UserError, first_line
from vitquant.models.timm_adapter import TIMM, timm_cfg
from vitquant.models.weight_files.load import load_matching
from vitquant.models.weight_files.match_names import Matched, Wanted
from vitquant.models.weights import read_tensors

_FAILURES = (AssertionError, RuntimeError, ValueError, TypeError, AttributeError, KeyError)


def build(
    name: str,
    arguments: dict[str, Any],
    size: tuple[int, int] | None = None,
    overlay: dict[str, Any] | None = None,
    file: str | None = None,
) -> tuple[nn.Module, dict[str, Any]]:
    """A timm model in eval mode, and the arguments that build it again.

    Args:
        name: timm's, with or without tag.
        arguments: of ``timm.create_model``.
        size: (height, width) of the images in pixels; None for the model's own. Families that need
            it get it as ``img_size``; others take any.
        overlay: what the Hub says of the model beyond timm.
        file: pretrained weights, whose positions timm resamples; by default the model has random
            ones.

    Raises:
        UserError: timm cannot build it, or it cannot take such images.
    """
    changes = dict(overlay or {})
    if file is not None:
        changes["file"] = file

    def create(arguments: dict[str, Any]) -> nn.Module:
        module: nn.Module = timm.create_model(
            name, pretrained=file is not None, pretrained_cfg_overlay=changes or None, **arguments
        )
        return module.eval()

    try:
        if size is None:
            return create(arguments), arguments
        sized = arguments | {"img_size": size[0] if size[0] == size[1] else list(size)}
        try:
            module, arguments = create(sized), sized
        except TypeError as error:
            if "img_size" not in str(error):
                raise
            module = create(arguments)
    except _FAILURES as error:
        if size is None:
            raise UserError(f"MODEL: timm cannot build {name!r}: {first_line(error)}") from error
        raise UserError(
            f"--input-size: timm cannot build {name} for {format_input_size(*size)} pixels "
            f"({first_line(error)}); a size that it was made for is accepted"
        ) from error
    _check_takes(module, size, name)
    return module, arguments


def load_weights(module: nn.Module, path: Path, resize: bool = False) -> None:
    """Load weights from a file into a timm model.

    Args:
        path: as of :func:`vitquant.models.weights.read_tensors`.
        resize: whether positions of another input size are resampled, as timm does.

    Raises:
        UserError: they do not fit.
    """
    tensors = read_tensors(path, "--weights")
    wanted = Wanted(module.state_dict(), TIMM.source, _classifiers(module), resize)
    load_matching(module, tensors, wanted, path, lambda found: _resampled(module, found, path))


def _check_takes(module: nn.Module, size: tuple[int, int], name: str) -> None:
    """Refuse a size that the patches do not divide, or that the network fails on."""
    height, width = size
    asked = format_input_size(height, width)
    patch: Any = getattr(getattr(module, "patch_embed", None), "patch_size", None)
    if patch is not None:
        rows, columns = (patch, patch) if isinstance(patch, int) else patch
        if height % rows or width % columns:
            raise UserError(
                f"--input-size: {asked} does not suit {name}, whose patches are {rows}x{columns} "
                f"pixels; multiples of {format_input_size(rows, columns)} are accepted"
            )
    channels = timm_cfg(module).get("input_size", (3,))[0]
    network: Any = copy.deepcopy(module).to("meta")  # shapes alone, nothing is computed
    try:
        with torch.no_grad():
            network(torch.zeros(1, channels, height, width, device="meta"))
    except NotImplementedError:
        pass  # an operation without a rule for shapes: the images decide
    except _FAILURES as error:
        raise UserError(
            f"--input-size: {name} fails on images of {asked} pixels ({first_line(error)}); its "
            f"own size is {format_input_size(*timm_cfg(module)['input_size'][1:])}"
        ) from error


def _resampled(module: nn.Module, matched: Matched, path: Path) -> dict[str, Tensor]:
    """Positions as timm resamples them for a pretrained model of another input size."""
    resample: Any = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
    expected = module.state_dict()
    try:
        with warnings.catch_warnings(action="ignore"):  # of torch's, about contiguous tensors
            found = resample(dict(matched.tensors), module)
        tensors = {name: found[name] for name in matched.resized}
        fits = all(tensors[name].shape == expected[name].shape for name in tensors)
    except _FAILURES:
        fits = False
    if not fits:
        raise UserError(
            f"--input-size: timm cannot resample {matched.resized[0]} of {path}; weights of that "
            f"input size are accepted"
        )
    return tensors


def _classifiers(module: nn.Module) -> tuple[str, ...]:
    """Names of the layers that give the classes; a distilled model has two."""
    found = timm_cfg(module).get("classifier") or ()
    return tuple(f"{name}." for name in ((found,) if isinstance(found, str) else found))
