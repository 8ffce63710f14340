"""Float weights from files: one safetensors file, a sharded model, or a folder of either."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vitquant.core.errors import UserError, first_line
from vitquant.models.weight_files.file_kinds import what_it_is

FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
_ACCEPTED = f"a safetensors file, or a folder with {FILE} or {INDEX}, is accepted"
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.bool)


def read_tensors(path: Path, flag: str) -> dict[str, Tensor]:
    """The float weights in a file or folder, on the CPU: float32, and integer buffers as they are.

    Args:
        path: a safetensors file, the index of a sharded model (``model.safetensors.index.json``),
            or a folder that holds one of them.
        flag: the option that names it, for messages.

    Raises:
        UserError: there is no such file, it is of another format or cut short, a shard is missing,
            a tensor is quantized, or holds NaN or infinity.
    """
    if path.is_dir():
        path = _in_folder(path, flag)
    if not path.is_file():
        raise UserError(f"{flag}: {path} is not a file; {_ACCEPTED}")
    tensors = _sharded(path, flag) if path.name.endswith(".index.json") else _file(path, flag)
    found = {name: _converted(name, tensors.pop(name), path, flag) for name in sorted(tensors)}
    if not found:
        raise UserError(f"{flag}: {path} holds no tensors")
    check_finite(found, f"{flag}: {path}")
    return found


def check_finite(tensors: Mapping[str, Tensor], where: str) -> None:
    """Refuse tensors with NaN or infinity. where: whose they are, the beginning of the message.

    Raises:
        UserError: with the name of the first such tensor.
    """
    bad = [n for n, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()]
    if bad:
        what = "NaN" if tensors[bad[0]].isnan().any() else "infinity"
        others = f" ({len(bad)} tensors with such values in all)" if len(bad) > 1 else ""
        raise UserError(f"{where}: {bad[0]} holds {what}{others}; finite weights are accepted")


def _in_folder(folder: Path, flag: str) -> Path:
    for name in (INDEX, FILE):
        if (folder / name).is_file():
            return folder / name
    shards = sorted(folder.glob("model-*-of-*.safetensors"))
    if shards:
        raise UserError(
            f"{flag}: {folder} holds {shards[0].name} but not the index of the shards, {INDEX}; "
            f"a folder with all files of a sharded model is accepted"
        )
    pickled = next((p for p in sorted(folder.glob("pytorch_model*.bin")) if p.is_file()), None)
    if pickled is not None:
        _file(pickled, flag)  # says how to convert it
    raise UserError(f"{flag}: {folder} is a folder without {FILE} and without {INDEX}")


def _sharded(index: Path, flag: str) -> dict[str, Tensor]:
    try:
        places = json.loads(index.read_bytes())["weight_map"]
        files = sorted(set(places.values()))
        plain = all(Path(file).name == file for file in files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{flag}: {index} is not the index of a sharded model ({type(error).__name__}); "
            f"a JSON file whose weight_map names a file for each tensor is accepted"
        ) from error
    if not plain:
        raise UserError(f"{flag}: {index} names files of other folders; shards beside it are read")
    missing = [file for file in files if not (index.parent / file).is_file()]
    if missing:
        raise UserError(
            f"{flag}: {index.parent} lacks {missing[0]} ({len(missing)} of {len(files)} shards are "
            f"missing), which {index.name} names; all shards are needed"
        )
    found: dict[str, Tensor] = {}
    for file in files:
        held = _file(index.parent / file, flag)
        lacking = sorted(n for n, place in places.items() if place == file and n not in held)
        if lacking:
            raise UserError(
                f"{flag}: {index.parent / file} lacks {lacking[0]}, which {index.name} says it has"
            )
        found |= held
    return found


def _file(path: Path, flag: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, as they are."""
    try:
        with safe_open(path, framework="pt") as file:
            if "vitquant" in (file.metadata() or {}):
                raise UserError(
                    f"{flag}: {path} is a checkpoint that vitquant wrote; float weights are "
                    f"accepted"
                )
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        why = what_it_is(path) or (
            f"is not a readable safetensors file ({first_line(error)}); it may be cut short or of "
            f"another format"
        )
        raise UserError(f"{flag}: {path} {why}") from error


def _converted(name: str, tensor: Tensor, path: Path, flag: str) -> Tensor:
    if tensor.dtype in _FLOATS:
        return tensor.float()
    if tensor.dtype in _INTEGERS:
        return tensor
    accepted = ", ".join(_name(dtype) for dtype in _FLOATS)
    raise UserError(
        f"{flag}: {path}: {name} is {_name(tensor.dtype)}, as in a quantized model; "
        f"{accepted} are accepted"
    )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
