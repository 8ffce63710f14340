"""Settings as TOML, in and out, and the command that a checkpoint's settings amount to."""

import json
import shlex
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from vitquant.config.bits import parse_bits
from vitquant.config.bits.layer_bits import parse_layer_bits
from vitquant.config.naming import KEYWORDS, OPTIONS
from vitquant.config.quantize import QuantizeSettings
from vitquant.config.setting import Recipe, Settings
from vitquant.config.values import HUB, format_input_size, parse_input_size
from vitquant.core.errors import UserError

_BASICS = ("bits", "calib", "method")
# The one setting that is a table of its own.
_LAYER_BITS = "layer_bits"


def bundled() -> list[str]:
    """The names of the recipes that come with the package."""
    found = resources.files("vitquant.recipes").iterdir()
    return sorted(f.name.removesuffix(".toml") for f in found if f.name.endswith(".toml"))


def read_recipe(name: str | Path, label: str = "--recipe") -> Recipe:
    """The settings in a TOML file. Tables are for the reader: their names have no meaning, but for
    that of ``layer_bits``, whose keys are patterns.

    Args:
        name: of a file, or of a bundled recipe.
        label: what messages call the argument.

    Raises:
        UserError: there is neither, or it is no such file.
    """
    name = str(name)
    try:
        if Path(name).is_file() or name not in bundled():
            text = Path(name).read_text(encoding="utf-8")
        else:
            text = (resources.files("vitquant.recipes") / f"{name}.toml").read_text("utf-8")
    except OSError as error:
        raise UserError(
            f"{label}: {name} cannot be read ({error.strerror}); accepted: a TOML file, or "
            f"{', '.join(bundled())}"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{label}: {name} is not UTF-8; a TOML file is accepted") from error
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{label}: {name} is not TOML: {error}") from error
    values: dict[str, Any] = {}
    for key, table in tables.items():
        is_group = isinstance(table, dict) and key != _LAYER_BITS
        for setting, value in (table if is_group else {key: table}).items():
            if setting in values:
                raise UserError(f"{label}: {name}: {setting} is there twice; once is accepted")
            values[setting] = value
    return Recipe(name, values)


def write_toml(values: Mapping[str, Any], remark: str = "") -> str:
    """Settings of a quantization as TOML, in a table for each group; None is left out.

    The bits of single layers are the last table. remark: a line for the head of the file.
    """
    lines = [f"# {remark}"] if remark else []
    table = ""
    for name in QuantizeSettings.fields():
        if values.get(name) is None or name == _LAYER_BITS:
            continue
        title = _table(QuantizeSettings.group(name))
        if title != table:
            lines += ["", f"[{title}]"] if lines else [f"[{title}]"]
            table = title
        lines.append(f"{name} = {_scalar(values[name])}")
    if values.get(_LAYER_BITS) is not None:
        pairs = parse_layer_bits(values[_LAYER_BITS], _LAYER_BITS) or ()
        lines += ["", f"[{_LAYER_BITS}]"]
        lines += [f"{_scalar(pattern)} = {_scalar(own)}" for pattern, own in pairs]
    return "\n".join(lines) + "\n"


def stored_settings(bits: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings of a checkpoint that there still are, and that its method uses.

    Args:
        bits, settings: as the checkpoint has them.
    """
    fields = QuantizeSettings.fields()
    known = {name: v for name, v in settings.items() if name in fields and v is not None}
    every = {n: f.default for n, f in fields.items()} | known | {"bits": parse_bits(bits)}
    if _LAYER_BITS in known:
        every[_LAYER_BITS] = parse_layer_bits(known[_LAYER_BITS], _LAYER_BITS)
    return {"bits": bits} | {n: v for n, v in known.items() if QuantizeSettings.is_used(n, every)}


def quantize_command(model: Mapping[str, Any], bits: str, settings: Mapping[str, Any]) -> str:
    """One line for a shell, or for Python if the model is a module there.

    Settings that have their default are left out. Weights that came from a file are called FILE: a
    checkpoint knows their hash, not their place.

    Args:
        model: the identity of the float model.
        bits, settings: as the checkpoint has them.
    """
    stored = {"calib": "SOURCE", "method": "rtn"} | stored_settings(bits, settings)
    if model.get("source") == "module":
        return _call(model["name"], stored, _unusual(stored))
    words = ["vitquant", "quantize", model["name"]]
    for name in _BASICS:
        words += [OPTIONS.option(name), str(stored[name])]
    whole = model["name"].startswith(HUB) or model.get("source") == "transformers"
    if not model.get("tag") and not whole:
        words += ["--weights", "FILE"]
    arguments = model.get("arguments", {})
    if "num_classes" in arguments:
        words += ["--num-classes", str(arguments["num_classes"])]
    if (size := parse_input_size(arguments.get("img_size", ""))) is not None:
        words += ["--input-size", format_input_size(*size)]
    for name, value in _unusual(stored).items():
        words += OPTIONS.choice(name, value, False).split(" ", 1)
    return shlex.join(words)


def _unusual(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Settings beside bits, calibration images and method that have not their default."""
    # What others depend on is given, so that what follows from it is left out.
    given = (*_BASICS, *(name for name in ("start", _LAYER_BITS) if name in stored))
    usual = QuantizeSettings.build(**{name: stored[name] for name in given}).to_json()
    usual |= {name: QuantizeSettings.fields()[name].default for name in ("start", _LAYER_BITS)}
    return {
        name: stored[name]
        for name in QuantizeSettings.fields()
        if name in stored and name not in _BASICS and stored[name] != usual.get(name)
    }


def _call(model: str, stored: Mapping[str, Any], more: Mapping[str, Any]) -> str:
    """A call in Python. ``calib`` names where the images came from."""
    words = [f"{name}={stored[name]!r}" for name in _BASICS]
    words += [KEYWORDS.choice(name, value, False) for name, value in more.items()]
    return f"vitquant.quantize({model}(), {', '.join(words)}, transform=..., build=...)"


def _table(group: type[Settings]) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in group.__name__).lstrip("_")


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    # JSON escapes what TOML does, but for this one.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
