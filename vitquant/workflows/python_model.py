"""What only a caller in Python can pass: modules, and the functions that go with them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from vitquant.checkpoint.header import Header
from vitquant.checkpoint.read import Checkpoint, read_checkpoint, restore
from vitquant.config.export import ExportSettings
from vitquant.core.errors import UserError
from vitquant.data.image_source import ImageSource, ListSource
from vitquant.exporters.runtimes.base import ExportedAdapter
from vitquant.models.float_options import FloatOptions, InputSize
from vitquant.models.model import Model
from vitquant.models.module_adapter import SOURCE, Build, ImageTransform, ModuleAdapter, Output
from vitquant.models.sources import load_float
from vitquant.models.sources.from_module import Transform, from_module
from vitquant.models.sources.from_timm_module import from_timm_module
from vitquant.quantization.layers.base import IntLayer
from vitquant.workflows.open import ExportedFile, FloatName, Named, open_model


@dataclass(frozen=True)
class GivenModel:
    """The arguments of :func:`vitquant.quantize` that say what the model is."""

    model: str | nn.Module
    weights: str | Path | None = None
    num_classes: int | None = None
    input_size: InputSize | Sequence[int] | None = None
    arguments: dict[str, Any] | None = None
    transform: Transform | None = None
    build: Build | None = None
    output: Output | None = None
    classes: Sequence[str] | None = None

    def open(self, images: ImageSource | None) -> Model:
        """The float model. images: for calibration, if they are here already.

        Raises:
            UserError: the arguments do not go together, or the model cannot be used.
        """
        opened = self._open(images)
        if isinstance(images, ListSource) and len(images):
            is_text = isinstance(images.image(0), str)
            if is_text != opened.reads_text:
                reads, name = "texts" if opened.reads_text else "images", opened.identity.name
                raise UserError(f"calib: {name} reads {reads}; a list of {reads} is accepted")
        return opened

    def _open(self, images: ImageSource | None) -> Model:
        own = ("transform", "build", "output", "classes")
        given = [name for name in own if getattr(self, name) is not None]
        if isinstance(self.model, str):
            if self.arguments is not None:
                raise UserError("arguments: they go with a module; with a name, num_classes does")
            if given:
                raise UserError(f"{given[0]}: it goes with a module; a name is enough by itself")
            size: Any = self.input_size
            return load_float(self.model, *FloatOptions.build(self.weights, self.num_classes, size))
        if (self.weights, self.num_classes, None if given else self.input_size) != (None,) * 3:
            raise UserError(
                "weights, num_classes, input_size: they go with a name; a module has its own"
            )
        if any(isinstance(module, IntLayer) for module in self.model.modules()):
            raise UserError("model: it is quantized already; a float model is accepted")
        if not given:
            return from_timm_module(self.model, self.arguments)
        if self.arguments is not None:
            raise UserError("arguments: timm builds a network from them; build= does without")
        return from_module(
            self.model,
            self.transform,
            build=self.build,
            output=self.output,
            input_size=self.input_size,
            classes=self.classes,
            example=images.image(0) if images is not None and callable(self.transform) else None,
        )


def adapter_of_checkpoint(
    checkpoint: Checkpoint,
    build: Build | None,
    transform: Transform | None = None,
    output: Output | None = None,
    *,
    only_builds: bool = False,
) -> ModuleAdapter | None:
    """How to ask the network of a checkpoint; None where the checkpoint says it by itself.

    only_builds: whether no image will be shown to it here.

    Raises:
        UserError: the functions do not go with the checkpoint.
    """
    header = checkpoint.header
    own = {"build": build, "transform": transform, "output": output}
    given = [name for name, value in own.items() if value is not None]
    if header.model.get("source") != SOURCE:
        if given:
            raise UserError(
                f"{given[0]}: {checkpoint.path} is of no module in Python; leave it out"
            )
        return None
    if build is None:
        return None
    if transform is not None and "mean" in header.preprocessing:
        raise UserError(f"transform: {checkpoint.path} holds its own; leave it out")
    picks = header.model["arguments"].get("output")
    needed = {"transform": "mean" not in header.preprocessing, "output": picks is not None}
    for name, is_needed in needed.items():
        if is_needed and not callable(own[name]) and not only_builds:
            raise UserError(
                f"{name}: {checkpoint.path} was quantized with a function in Python"
                f"{f' ({picks})' if name == 'output' else ''}; {name}= that function is needed"
            )
    function = transform if callable(transform) else None
    return ModuleAdapter(build, function, output, len((header.classes or {}).get("names", ())))


def check_can_be_exported(header: Header, settings: ExportSettings) -> None:
    """Raise a UserError where others would have to build a network that only its user can."""
    naming, onnx = settings.naming, settings.fields()["format"].default
    accepted = f"{naming.choice('format', onnx, False)} into a file is accepted"
    if header.model.get("source") != SOURCE:
        return
    for name in ("format", "push_to_hub"):
        if getattr(settings, name) not in (onnx, None):
            raise UserError(f"{naming.option(name)}: of a module in Python, {accepted}")


def with_functions(
    named: Named,
    build: Build | None,
    transform: ImageTransform | None,
    output: Output | None,
    runtime: str | None,
) -> Model | None:
    """A model that needs functions in Python; None if there are none."""
    if build is None and transform is None and output is None:
        return None
    if isinstance(named, ExportedFile) and transform is not None and not (build or output):
        opened = open_model(named, runtime=runtime)
        return replace(opened, adapter=ExportedAdapter(ModuleAdapter(transform=transform)))
    if isinstance(named, ExportedFile | FloatName):
        raise UserError(
            f"build, transform, output: {named.name} is no checkpoint; they go with a checkpoint "
            f"of a module in Python, and transform with an ONNX file of one"
        )
    read = read_checkpoint(named.path)
    return restore(read, adapter_of_checkpoint(read, build, transform, output))
