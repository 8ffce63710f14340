"""The runtimes that there are, and files opened in one of them."""

from collections.abc import Callable
from pathlib import Path

from vitquant.core.errors import UserError
from vitquant.exporters.runtimes.base import Runtime, as_model
from vitquant.exporters.runtimes.executorch_runtime import ExecuTorch, read_program_metadata
from vitquant.exporters.runtimes.metadata import Metadata, read_metadata
from vitquant.exporters.runtimes.openvino_runtime import OpenVino
from vitquant.exporters.runtimes.ort_runtime import OnnxRuntime
from vitquant.models.model import Model

# The first one for a kind of file is the default, and the one that a file has to pass in.
RUNTIMES: tuple[Runtime, ...] = (OnnxRuntime(), OpenVino(), ExecuTorch())
METADATA: dict[str, Callable[[Path], Metadata]] = {
    "onnx": read_metadata,
    "executorch": read_program_metadata,
}
"""By the kind of file, what reads what it says about itself."""
_SUFFIXES = {".onnx": "onnx", ".pte": "executorch"}
RUNTIME_NAMES = tuple(runtime.name for runtime in RUNTIMES)


def installed_runtimes(format: str) -> list[Runtime]:
    """Those that open a kind of file here, the default first."""
    return [r for r in RUNTIMES if r.format == format and r.installed()]


def get_runtime(name: str) -> Runtime:
    """The runtime called ``name``, one of ``RUNTIME_NAMES``."""
    return next(runtime for runtime in RUNTIMES if runtime.name == name)


def is_exported(name: str) -> bool:
    """Whether MODEL is the path of an exported file."""
    return name.endswith(tuple(_SUFFIXES))


def format_of(path: Path) -> str:
    """The kind of an exported file, by its name."""
    return _SUFFIXES.get(path.suffix, "onnx")


def open_exported(path: Path, runtime: str | None = None) -> Model:
    """A file that ``vitquant export`` wrote, run on the CPU.

    Args:
        path: an ONNX file or a ``.pte``.
        runtime: one of ``RUNTIME_NAMES``, by default the first for this kind of file.

    Raises:
        UserError: the file is missing, damaged, or of another origin, or the runtime is missing or
            does not accept it.
    """
    if runtime is not None and runtime not in RUNTIME_NAMES:
        accepted = ", ".join(RUNTIME_NAMES)
        raise UserError(f"--runtime: {runtime!r} is not known; {accepted} is accepted")
    fitting = [one for one in RUNTIMES if one.format == format_of(path)]
    chosen = fitting[0] if runtime is None else get_runtime(runtime)
    if chosen not in fitting:
        accepted = ", ".join(one.name for one in fitting)
        raise UserError(f"--runtime: {chosen.label} does not open {path}; {accepted} is accepted")
    metadata = METADATA[chosen.format](path)
    try:
        return as_model(chosen.open(path, metadata), metadata)
    except UserError as error:
        raise UserError(f"{'FILE' if runtime is None else '--runtime'}: {error}") from error
