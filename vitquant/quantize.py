"""Quantize a model: the function behind ``vitquant quantize``."""

import copy
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import timm
import torch

import vitquant
from vitquant.checkpoint.schema import Header, ProductRecord
from vitquant.checkpoint.write import write_checkpoint
from vitquant.data.image_source import ImageSource, ListSource
from vitquant.data.sample import choose
from vitquant.errors import UserError
from vitquant.layers.interception import intercepted
from vitquant.layers.weight import IntegerWeight
from vitquant.methods.finish import finish
from vitquant.methods.job import Job
from vitquant.methods.registry import get_method
from vitquant.methods.settings import Settings
from vitquant.models.model import Model
from vitquant.models.wiring import discover, example_images, refuse_unreachable
from vitquant.progress import Progress, Silent


@dataclass
class Quantized:
    """A quantized model, what its checkpoint says of it, and how the run went.

    history: losses by step. seconds: of the whole run. samples: calibration images used.
    """

    model: Model
    header: Header
    samples: int
    seconds: float
    history: list[dict[str, float]] = field(default_factory=list)

    def save(self, path: Path) -> int:
        """Write the checkpoint; returns its size in bytes. Raises UserError if it cannot."""
        return write_checkpoint(path, self.model.module, self.header)


def quantize(
    model: Model,
    images: ImageSource,
    settings: Settings,
    progress: Progress | None = None,
    device: str = "cpu",
) -> Quantized:
    """Quantize a float model; the model itself is left as it was.

    Args:
        model: from :func:`vitquant.opening.open_model`.
        images: calibration images; labels are used only to spread the sample over the classes.

    Raises:
        UserError: part of the model cannot be quantized (and ``allow_float`` is off), or an image
            cannot be read.
    """
    start = time.monotonic()
    progress = progress or Silent()
    method = get_method(settings.method)
    if any(isinstance(module, IntegerWeight) for module in model.module.modules()):
        raise UserError("MODEL: it is quantized already; a float model is accepted")
    _seed(settings.seed)
    model = copy.copy(model)
    model.module = copy.deepcopy(model.module).to(device)
    wiring = discover(model.module, example_images(model.input_size).to(device))
    if not wiring.layers:
        raise UserError(f"MODEL: {model.identity.name} has no Linear or Conv2d to quantize")
    if not settings.allow_float:
        refuse_unreachable(model.module, wiring)
    for name, why in wiring.unreachable.items():
        progress.warn(f"{name} stays float: {why}")
    chosen = _decode(images, settings, progress)
    job = Job(model, wiring, chosen, settings, progress, torch.device(device))
    learned = method.run(job)
    layers = finish(learned, model.module)
    products = [
        ProductRecord(name, len(module.products), settings.scheme.bits.activation)
        for name, module in intercepted(learned)
    ]
    header = Header(
        model=model.identity.to_json(),
        preprocessing=model.preprocessing,
        classes=None if model.classes is None else model.classes.to_json(),
        bits=str(settings.scheme.bits),
        layers=layers,
        products=products,
        unreached=wiring.unreachable,
        constant=wiring.constant,
        settings=settings.to_json() | {"calib": images.name, "samples": len(chosen)},
        versions=_versions(),
    )
    learned.eval().requires_grad_(False)
    result = Model(learned, model.identity, model.preprocessing, model.classes)
    return Quantized(result, header, len(chosen), time.monotonic() - start, job.history)


def _decode(images: ImageSource, settings: Settings, progress: Progress) -> ImageSource:
    """The chosen images, in memory: every one is looked at many times."""
    indices = choose(images, get_method(settings.method).samples(settings), settings.seed)
    track = progress.track(indices, len(indices), "reading calibration images")
    return ListSource(images.name, [images.image(i) for i in track])


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)


def _versions() -> dict[str, Any]:
    return {
        "vitquant": vitquant.__version__,
        "torch": str(torch.__version__),
        "timm": timm.__version__,
        "safetensors": safetensors.__version__,
        "python": platform.python_version(),
    }
