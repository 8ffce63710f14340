"""A quantized model as a verified ``.pte`` file."""

from pathlib import Path

from vitquant.checkpoint.header import Header
from vitquant.checkpoint.history import KEY as HISTORY
from vitquant.core.files import check_writable, write_whole
from vitquant.core.progress import Progress, Silent
from vitquant.data.image_source import ImageSource
from vitquant.exporters.compared import IMAGES, decode, made_images
from vitquant.exporters.executorch.program import check_installed, to_program
from vitquant.exporters.runtimes.metadata import Metadata
from vitquant.exporters.verification import Verification
from vitquant.exporters.verify import verify
from vitquant.models.model import Model

FORMAT = "executorch"


def to_executorch(model: Model, header: Header, float_attention: bool = False) -> bytes:
    """The ExecuTorch program of a quantized model that a checkpoint with ``header`` gave.

    What ONNX has as metadata, the program has as methods without arguments that return strings.

    Raises:
        UserError: ExecuTorch is missing, or the model has no such form.
        CheckFailedError: not every quantized layer becomes an integer kernel.
    """

    def describe(layers: list[str]) -> dict[str, str]:
        about = Metadata(
            identity=model.identity,
            preprocessing=model.preprocessing,
            classes=model.classes,
            bits=header.bits,
            num_classes=model.num_classes,
            raw_images=False,
            integer_kernels=layers,
            settings={n: value for n, value in header.settings.items() if n != HISTORY}
            | {"float_attention": float_attention, "checkpoint_sha256": header.content_sha256},
        )
        return about.strings()

    return to_program(model, describe, float_attention)


def export_executorch(
    model: Model,
    header: Header,
    out: Path,
    float_attention: bool = False,
    *,
    size: int = 0,
    images: ImageSource | None = None,
    count: int = IMAGES,
    float_model: Model | None = None,
    min_agreement: float | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Write a quantized model as a ``.pte`` file and run that beside the model.

    The arguments are those of :func:`vitquant.exporters.onnx.export.export_onnx`.

    Raises:
        UserError: ExecuTorch is missing, the file cannot be written, the model has no such form, or
            an image cannot be read.
        CheckFailedError: not every quantized layer becomes an integer kernel; nothing is written.
    """
    progress = progress or Silent()
    check_installed("--format")
    check_writable(out)
    seen = decode(images or made_images(model, count), count, progress)
    progress.say(
        f"{model.identity.name} {header.bits} to ExecuTorch for XNNPACK, one image at a time; "
        f"takes a minute or so"
    )
    write_whole(out, to_executorch(model, header, float_attention))
    return verify(
        out,
        model,
        size,
        seen,
        float_model,
        min_agreement=min_agreement,
        format=FORMAT,
        progress=progress,
    )
