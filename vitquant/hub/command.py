"""The ``vitquant quantize`` command behind a checkpoint, from the settings that it stores."""

import shlex
from dataclasses import MISSING, fields
from typing import Any

from vitquant.bits import parse_bits
from vitquant.checkpoint.header import Header
from vitquant.methods.settings import Settings
from vitquant.models.sources.from_timm import HUB
from vitquant.usual_scheme import usual_scheme
from vitquant.workflows.calibration_images import bears_bias_correction

# Told elsewhere in the command, or not settings of a run.
_ELSEWHERE = {"scheme", "method"}


def quantize_command(header: Header) -> str:
    """One line for a shell. Settings that have their default are left out.

    Weights that came from a file are called FILE: a checkpoint knows their hash, not their place.
    """
    settings, identity = header.settings, header.model
    words = ["vitquant", "quantize", identity["name"], "--bits", header.bits]
    words += ["--calib", str(settings.get("calib", "SOURCE"))]
    words += ["--method", str(settings.get("method", "rtn"))]
    if not identity.get("tag") and not identity["name"].startswith(HUB):
        words += ["--weights", "FILE"]
    if "num_classes" in identity.get("arguments", {}):
        words += ["--num-classes", str(identity["arguments"]["num_classes"])]
    words += _scheme(header.bits, settings.get("scheme", {}))
    words += _changed(header.bits, settings)
    return shlex.join(words)


def _scheme(bits: str, scheme: dict[str, str]) -> list[str]:
    usual = usual_scheme(parse_bits(bits))
    words = []
    for place, flag in (("patch_embed", "--patch-embed-bits"), ("head", "--head-bits")):
        if place in scheme and scheme[place] != str(getattr(usual, place)):
            words += [flag, scheme[place]]
    return words


def _changed(bits: str, settings: dict[str, Any]) -> list[str]:
    """Options for the settings that differ from what they are by default at these bits."""
    scheme = usual_scheme(parse_bits(bits))
    usual = Settings(scheme, correct_bias=bears_bias_correction(settings.get("calib")))
    words = []
    for field in fields(Settings):
        if field.name in _ELSEWHERE or field.name not in settings or field.default is MISSING:
            continue
        value, flag = settings[field.name], "--" + field.name.replace("_", "-")
        if value == getattr(usual, field.name):
            continue
        if value is True:
            words.append(flag)
        elif value is False:
            words.append(f"--no-{flag[2:]}")
        elif value is not None:
            words += [flag, str(value)]
    return words
