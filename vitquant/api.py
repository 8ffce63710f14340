"""The Python API: ``vitquant.load``, ``vitquant.quantize`` and ``vitquant.export``.

The package hands these functions on without importing them, so that ``import vitquant`` is quick.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from torch import nn

from vitquant.bits import parse_bits, parse_given
from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.core.errors import UserError
from vitquant.core.progress import Progress, Silent
from vitquant.data.image_source import ImageSource, ListSource
from vitquant.exporters.targets import get_target
from vitquant.methods.settings import Settings
from vitquant.models.hub_config import pretrained_cfg
from vitquant.models.model import Model
from vitquant.models.sources.from_module import from_module
from vitquant.models.sources.from_timm import load_float
from vitquant.quantization.layers.base import IntLayer
from vitquant.quantization.training.state import TrainingState
from vitquant.synthesis.image_job import GenerationOptions
from vitquant.usual_scheme import usual_scheme
from vitquant.workflows import quantize as workflow
from vitquant.workflows.calibration_images import bears_bias_correction, calibration_images
from vitquant.workflows.open import checkpoint_path
from vitquant.workflows.quantize import Quantized


def load(checkpoint: str | Path, *, revision: str | None = None, device: str = "cpu") -> nn.Module:
    """A quantized model as an ``nn.Module`` with timm's interface, in eval mode.

    ``forward_features``, ``forward_head`` and ``num_classes`` are those of the architecture in
    timm. ``pretrained_cfg``, also called ``default_cfg``, has the preprocessing and class names
    that came with the checkpoint, so that ``timm.data.resolve_model_data_config`` finds them.

    Args:
        checkpoint: a file that vitquant wrote, or ``hf-hub:owner/name`` of one on the Hub.
        revision: a branch, tag or commit on the Hub; ``hf-hub:owner/name@revision`` means the same.

    Raises:
        UserError: there is no such checkpoint, or it is damaged.
    """
    model = restore(read_checkpoint(checkpoint_path(str(checkpoint), revision)))
    cfg = {n: tuple(v) if isinstance(v, list) else v for n, v in pretrained_cfg(model).items()}
    module: Any = model.module
    module.pretrained_cfg = module.default_cfg = cfg
    return module.to(device)


def quantize(
    model: str | nn.Module,
    bits: str,
    calib: str | Path | Sequence[Image.Image] | ImageSource = "synthetic",
    *,
    generator: str | None = None,
    prompts: str | None = None,
    weights: str | Path | None = None,
    num_classes: int | None = None,
    arguments: dict[str, Any] | None = None,
    patch_embed_bits: str | None = None,
    head_bits: str | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    state: str | Path | None = None,
    **settings: Any,
) -> Quantized:
    """Quantize a float model; ``model`` itself is left as it was.

    Args:
        model: a name as on the command line, or a module that ``timm.create_model`` returned.
        bits: of weights and activations, such as ``"w4a4"``.
        calib: calibration images: PIL images, what ``--calib`` takes, or an
            :class:`vitquant.data.image_source.ImageSource`. What has to be drawn is drawn first,
            however long it takes, and kept in the cache.
        generator, prompts: for images that are drawn, as on the command line.
        weights, num_classes: with a name, as on the command line.
        arguments: with a module, the arguments that timm built it with, where timm has not kept
            them.
        progress: a listener; by default nothing is printed.
        state: a file to go on from after an interruption; remove it once the result is saved.
        settings: fields of :class:`vitquant.methods.settings.Settings`, such as ``method``,
            ``samples``, ``steps`` or ``seed``.

    Returns:
        The result: ``module`` is the network, ``save(path)`` writes the checkpoint, ``fidelity``
        tells how far it agrees with the float model.

    Raises:
        UserError: an argument cannot be used, or the model cannot be quantized.
        CheckFailedError: training diverged.
        TypeError: there is no such setting.
    """
    scheme = usual_scheme(
        parse_bits(bits, "bits"),
        parse_given(patch_embed_bits, "patch_embed_bits"),
        parse_given(head_bits, "head_bits"),
    )
    settings.setdefault("correct_bias", bears_bias_correction(calib))
    chosen = Settings(scheme, **settings)
    opened = _open(model, weights, num_classes, arguments)
    options = GenerationOptions(generator=generator, prompts=prompts, device=device)
    images = partial(_images, calib, opened, chosen, options, progress or Silent())
    kept = None if state is None else TrainingState(Path(state), None)
    return workflow.quantize(opened, images, chosen, progress, device, kept)


def export(
    checkpoint: str | Path | Quantized,
    out: str | Path,
    *,
    format: str = "onnx",
    revision: str | None = None,
    **options: Any,
) -> Any:
    """Write a quantized model in another format.

    Args:
        checkpoint: a file that vitquant wrote, ``hf-hub:owner/name``, or what :func:`quantize`
            returned.
        out: the file to write with ``"onnx"``, the folder with ``"safetensors"``.
        format: ``"onnx"``, or ``"safetensors"`` for the layout of compressed-tensors.
        revision: on the Hub, as for :func:`load`.
        options: with ``"onnx"``, the keyword arguments of
            :func:`vitquant.exporters.targets.write_onnx`.

    Returns:
        With ``"onnx"`` how the file compares with the model; with ``"safetensors"`` its bytes.

    Raises:
        UserError: the checkpoint, the format or the place to write to cannot be used.
        CheckFailedError: the ONNX file was written, but does not pass its verification.
        TypeError: there is no such option.
    """
    target = get_target(format, "format")
    with _file(checkpoint, revision) as path:
        return target.write(read_checkpoint(path), Path(out), flag="out", **options)


@contextmanager
def _file(checkpoint: str | Path | Quantized, revision: str | None) -> Iterator[Path]:
    if not isinstance(checkpoint, Quantized):
        yield checkpoint_path(str(checkpoint), revision)
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        checkpoint.save(path)
        yield path


def _open(
    model: str | nn.Module,
    weights: str | Path | None,
    num_classes: int | None,
    arguments: dict[str, Any] | None,
) -> Model:
    if isinstance(model, str):
        if arguments is not None:
            raise UserError("arguments: they go with a module; with a name, num_classes does")
        return load_float(model, None if weights is None else Path(weights), num_classes)
    if weights is not None or num_classes is not None:
        raise UserError("weights, num_classes: they go with a name; a module has its own")
    if any(isinstance(module, IntLayer) for module in model.modules()):
        raise UserError("model: it is quantized already; a float model is accepted")
    return from_module(model, arguments)


def _images(
    calib: str | Path | Sequence[Image.Image] | ImageSource,
    model: Model,
    settings: Settings,
    options: GenerationOptions,
    progress: Progress,
) -> ImageSource:
    if isinstance(calib, (str, Path)):
        return calibration_images(
            str(calib), model, settings.samples, settings.seed, options, progress
        )
    if options.generator is not None or options.prompts is not None:
        raise UserError(
            "generator, prompts: they go with images that are generated; calib has its own"
        )
    if not isinstance(calib, Sequence):
        return calib
    pictures: list[Any] = list(calib)
    if not pictures or not all(isinstance(picture, Image.Image) for picture in pictures):
        raise UserError("calib: at least one image, all of them PIL images, is accepted")
    return ListSource("images", [picture.convert("RGB") for picture in pictures])
