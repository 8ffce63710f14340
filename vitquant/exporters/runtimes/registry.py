"""The runtimes that there are, and files opened in one of them."""

from pathlib import Path

from vitquant.core.errors import UserError
from vitquant.exporters.runtimes.base import Runtime, as_model
from vitquant.exporters.runtimes.metadata import read_metadata
from vitquant.exporters.runtimes.openvino_runtime import OpenVino
from vitquant.exporters.runtimes.ort_runtime import OnnxRuntime
from vitquant.models.model import Model

# The first one for a kind of file is the default, and the one that a file has to pass in.
RUNTIMES: tuple[Runtime, ...] = (OnnxRuntime(), OpenVino())
RUNTIME_NAMES = tuple(runtime.name for runtime in RUNTIMES)


def installed_runtimes(format: str) -> list[Runtime]:
    """Those that open a kind of file here, the default first."""
    return [r for r in RUNTIMES if r.format == format and r.installed()]


def get_runtime(name: str) -> Runtime:
    """The runtime called ``name``, one of ``RUNTIME_NAMES``."""
    return next(runtime for runtime in RUNTIMES if runtime.name == name)


def is_onnx(name: str) -> bool:
    """Whether MODEL is the path of an ONNX file."""
    return name.endswith(".onnx")


def open_exported(path: Path, runtime: str | None = None) -> Model:
    """A file that ``vitquant export`` wrote, run on the CPU.

    Args:
        path: an ONNX file.
        runtime: one of ``RUNTIME_NAMES``, by default the first.

    Raises:
        UserError: the file is missing, damaged, or of another origin, or the runtime is missing or
            does not accept it.
    """
    if runtime is not None and runtime not in RUNTIME_NAMES:
        accepted = ", ".join(RUNTIME_NAMES)
        raise UserError(f"--runtime: {runtime!r} is not known; {accepted} is accepted")
    chosen = get_runtime(runtime or RUNTIME_NAMES[0])
    metadata = read_metadata(path)
    try:
        return as_model(chosen.open(path, metadata), metadata)
    except UserError as error:
        raise UserError(f"{'FILE' if runtime is None else '--runtime'}: {error}") from error
