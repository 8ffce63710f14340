"""The kinds of file that a checkpoint can be written as."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitquant.checkpoint.read import Checkpoint, restore
from vitquant.core.errors import UserError
from vitquant.core.files import check_writable
from vitquant.exporters import compressed_tensors
from vitquant.exporters.onnx.export import OnnxOptions
from vitquant.exporters.onnx.graph import INT2, get_weight_type
from vitquant.exporters.onnx.write import export_onnx
from vitquant.exporters.verify import Verification


@dataclass(frozen=True)
class ExportTarget:
    """One kind of file; another is a function that writes it and a line in ``TARGETS``.

    name: of ``--format``. suffix: what follows a checkpoint's name where no other is given.
    options: those of the command, by parameter, that no other kind has. write: takes the
    checkpoint, the path to write to, as ``flag`` what errors call that path, and keyword arguments
    of its own; returns what there is to say about the result.
    """

    name: str
    suffix: str
    options: tuple[str, ...]
    write: Callable[..., Any]

    def default_path(self, checkpoint: Path) -> Path:
        """Beside a checkpoint."""
        return checkpoint.with_name(f"{checkpoint.stem}{self.suffix}")


def write_onnx(
    checkpoint: Checkpoint,
    out: Path,
    *,
    weight_type: str = INT2.name,
    opset: int | None = None,
    float_attention: bool = False,
    raw_images: bool = False,
    flag: str = "--out",
    **verification: Any,
) -> Verification:
    """Write a verified ONNX file.

    Args:
        checkpoint: its quantized model is exported.
        out: the file.
        weight_type: name of the smallest type that weights are stored in.
        opset, float_attention, raw_images: as in
            :class:`vitquant.exporters.onnx.export.OnnxOptions`.
        flag: what errors call ``out``.
        verification: further arguments of :func:`vitquant.exporters.onnx.write.export_onnx`.

    Raises:
        UserError: as for ``export_onnx``, or there is no such type.
        CheckFailedError: the file was written, but does not pass its verification.
    """
    check_writable(out, flag)
    options = OnnxOptions(get_weight_type(weight_type), opset, float_attention, raw_images)
    model = restore(checkpoint)
    found = export_onnx(
        model, checkpoint.header, out, options, size=checkpoint.bytes, **verification
    )
    found.check()
    return found


ONNX = ExportTarget(
    "onnx",
    ".onnx",
    (
        "weight_type",
        "opset",
        "float_attention",
        "with_preprocessing",
        "data",
        "images",
        "min_agreement",
        "weights",
    ),
    write_onnx,
)
SAFETENSORS = ExportTarget("safetensors", "-compressed", (), compressed_tensors.write)
TARGETS = {target.name: target for target in (ONNX, SAFETENSORS)}


def get_target(name: str, flag: str = "--format") -> ExportTarget:
    """The kind of file called ``name``. Raises UserError, which names ``flag``, for others."""
    if name not in TARGETS:
        raise UserError(f"{flag}: {name!r} is not known; {', '.join(TARGETS)} is accepted")
    return TARGETS[name]
