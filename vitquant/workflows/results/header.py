"""What a checkpoint says of a model that was quantized."""

import platform
from importlib import metadata
from typing import Any

import safetensors
import timm
import torch
from torch import nn

import vitquant
from vitquant.checkpoint.header import Header, LayerRecord, product_records
from vitquant.quantization.graph.keep_float import KEPT
from vitquant.quantization.ptq.context import PTQContext


def header_of(context: PTQContext, student: nn.Module, layers: list[LayerRecord]) -> Header:
    """Of a converted ``student`` with such layers, made as ``context`` says."""
    model, points, settings = context.model, context.points, context.settings
    made = {"calib": context.images.name, "samples": len(context.images)}
    return Header(
        model=model.identity.to_json(),
        preprocessing=model.preprocessing,
        classes=None if model.classes is None else model.classes.to_json(),
        bits=str(settings.bits),
        layers=layers,
        products=product_records(student),
        unreached=dict(points.unsupported) | dict.fromkeys(points.kept, KEPT),
        constant=list(points.constant),
        settings=settings.to_json() | made,
        versions=_versions(model.adapter.source),
    )


def _versions(source: str) -> dict[str, Any]:
    """Of what made a checkpoint, with the library that builds its model."""
    try:
        library = {source: metadata.version(source)}
    except metadata.PackageNotFoundError:  # a network of the user's own
        library = {}
    return library | {
        "vitquant": vitquant.__version__,
        "torch": str(torch.__version__),
        "timm": timm.__version__,
        "safetensors": safetensors.__version__,
        "python": platform.python_version(),
    }
