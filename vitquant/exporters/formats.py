"""The kinds of file that a checkpoint can be written as."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitquant.core.errors import UserError
from vitquant.exporters import compressed_tensors
from vitquant.exporters.executorch.export import export_executorch
from vitquant.exporters.onnx.export import export_onnx
from vitquant.exporters.web.export import export_web


@dataclass(frozen=True)
class FileFormat:
    """One kind of file; another is a function that writes it and a line in ``FORMATS``.

    name: of ``--format``. suffix: what follows a checkpoint's name where no other is given. write:
    the function; what it takes and returns is its own, and :mod:`vitquant.workflows.export` has a
    branch that calls it. is_folder: whether a folder is written.
    """

    name: str
    suffix: str
    write: Callable[..., Any]
    is_folder: bool = False

    def default_path(self, checkpoint: Path) -> Path:
        """Beside a checkpoint."""
        return checkpoint.with_name(f"{checkpoint.stem}{self.suffix}")


ONNX = FileFormat("onnx", ".onnx", export_onnx)
SAFETENSORS = FileFormat("safetensors", "-compressed", compressed_tensors.write, is_folder=True)
EXECUTORCH = FileFormat("executorch", ".pte", export_executorch)
WEB = FileFormat("web", "-web", export_web, is_folder=True)
FORMATS = {kind.name: kind for kind in (ONNX, SAFETENSORS, EXECUTORCH, WEB)}


def get_format(name: str) -> FileFormat:
    """The kind of file called ``name``. Raises UserError for others."""
    if name not in FORMATS:
        raise UserError(f"--format: {name!r} is not known; {', '.join(FORMATS)} is accepted")
    return FORMATS[name]
