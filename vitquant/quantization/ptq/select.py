"""What of a float model a run will quantize, before it has any images."""

import copy
from dataclasses import replace

from vitquant.config.quantize import QuantizeSettings
from vitquant.core.errors import UserError
from vitquant.core.progress import Progress
from vitquant.models.model import Model
from vitquant.quantization.graph.keep_float import keep_float
from vitquant.quantization.graph.points import (
    QuantizationPoints,
    check_supported,
    find_points,
)
from vitquant.quantization.layers.base import IntLayer
from vitquant.quantization.transforms.rotation import rotate


def select_points(
    model: Model, settings: QuantizeSettings, device: str, progress: Progress
) -> tuple[Model, QuantizationPoints]:
    """A copy of the float model on the device, and what of it will be quantized.

    Raises:
        UserError: the settings do not go with the model.
    """
    if any(isinstance(module, IntLayer) for module in model.module.modules()):
        raise UserError("MODEL: it is quantized already; a float model is accepted")
    model = replace(model, module=model.adapter.without_caches(copy.deepcopy(model.module)))
    if settings.rotate:
        _rotate(model, settings)
    model.module.to(device)
    points = find_points(model.module, model.example_inputs().to(device), model.tokens)
    if settings.keep_float:
        points = keep_float(points, settings.keep_float, settings.naming.option("keep_float"))
    if not points.layers:
        which = "left to quantize" if points.kept else "to quantize"
        raise UserError(f"MODEL: {model.identity.name} has no Linear or Conv2d {which}")
    if not settings.allow_float:
        check_supported(model.module, points)
    for name, why in points.unsupported.items():
        progress.warn(f"{name} stays float: {why}")
    if settings.prefix_bits and not points.has_prefix_tokens:
        raise UserError(
            f"{settings.naming.option('prefix_bits')}: {model.identity.name} has no class tokens "
            f"or registers; leave it out"
        )
    return model, points


def _rotate(model: Model, settings: QuantizeSettings) -> None:
    model.module.cpu()
    if not rotate(model, model.example_inputs(), settings.seed):
        raise UserError(
            f"{settings.naming.option('rotate')}: {model.identity.name} is not a ViT whose "
            f"residual stream can be rotated, such as DeiT or DINOv2 with a classifier; leave it "
            f"out"
        )
