"""A quantized model as a verified ONNX file."""

from dataclasses import replace
from pathlib import Path

from vitquant.checkpoint.header import Header
from vitquant.core.files import check_writable, write_whole
from vitquant.core.progress import Progress, Silent
from vitquant.data.image_source import ImageSource, ListSource
from vitquant.data.sampling import stratified_sample
from vitquant.data.sources.noise import SmoothNoiseSource
from vitquant.exporters.onnx.export import OnnxOptions, choose_opset, to_onnx
from vitquant.exporters.verify import Verification, verify
from vitquant.models.model import Model

IMAGES = 32
"""How many images a file is verified with by default."""


def export_onnx(
    model: Model,
    header: Header,
    out: Path,
    options: OnnxOptions | None = None,
    *,
    size: int = 0,
    images: ImageSource | None = None,
    count: int = IMAGES,
    float_model: Model | None = None,
    min_agreement: float | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Write a quantized model as an ONNX file and run that beside the model.

    Whether the file passes is for the caller to ask: :meth:`Verification.check`.

    Args:
        model, header: as a checkpoint gives them. size: the checkpoint's, in bytes, for reports.
        out: the file; it is replaced once the new one is complete.
        images: what to verify with, by default smooth noise; up to ``count`` of them are used.
        float_model: what was quantized, for comparison; without it, only its speed is measured.
        min_agreement: the least agreement of the file with ``model``, from 0 to 1; see
            :data:`vitquant.exporters.verify.MARGIN` for the default.

    Raises:
        UserError: the file cannot be written, the options do not fit the model, or an image cannot
            be read.
    """
    options, progress = options or OnnxOptions(), progress or Silent()
    check_writable(out)
    opset = choose_opset(model.module, options)
    seen = _decode(images or SmoothNoiseSource(count, model.input_size[1:]), count, progress)
    progress.say(
        f"{model.identity.name} {header.bits} to ONNX: opset {opset}, weights as "
        f"{options.min_weight_type.name} or wider; takes a minute or so"
    )
    write_whole(out, to_onnx(model, header, options).SerializeToString())
    return verify(
        out,
        model,
        size,
        seen,
        float_model or _with_random_weights(model),
        real=float_model is not None,
        min_agreement=min_agreement,
        progress=progress,
    )


def _with_random_weights(model: Model) -> Model:
    """The float architecture, for its speed."""
    identity = model.identity
    module = model.adapter.rebuild(identity.architecture, identity.arguments)
    return replace(model, module=module.requires_grad_(False))


def _decode(images: ImageSource, count: int, progress: Progress) -> ListSource:
    """Up to ``count`` of the images, spread over their classes, in memory."""
    chosen = stratified_sample(images, count, seed=0)
    track = progress.track(chosen, len(chosen), "reading images")
    return ListSource(images.name, [images.image(i) for i in track])
