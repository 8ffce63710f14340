"""What is timed: a file, as far as it says what it is."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from onnx import ModelProto, TensorProto, ValueInfoProto
from torch import Tensor

from vitquant.core.errors import UserError
from vitquant.exporters.runtimes.base import ExportedModule, as_model
from vitquant.exporters.runtimes.metadata import Metadata, parse_metadata
from vitquant.exporters.runtimes.registry import METADATA, format_of, get_runtime
from vitquant.models.model import Model, ModelIdentity

EXECUTORCH = "executorch"
UNKNOWN = Metadata(ModelIdentity("", ""), {}, None, "", 0, False, [], {"weight_types": []})
"""Of a file that says nothing of itself."""


@dataclass(frozen=True)
class Candidate:
    """A file to be timed.

    name: for people. kind: file, float or int8, see :class:`vitquant.benchmark.rows.Row`. batch:
    the size of batch that the file insists on, or None. size: the other dimensions of its input.
    runtimes: names of those that it is meant for; empty for all.
    """

    name: str
    kind: str
    path: Path
    metadata: Metadata
    size: tuple[int, ...]
    batch: int | None = None
    runtimes: tuple[str, ...] = ()

    @property
    def format(self) -> str:
        """The kind of file, which not every runtime opens."""
        return format_of(self.path)

    @property
    def bytes(self) -> int:
        """Of the file, and of the weights beside it in OpenVINO's own format."""
        weights = self.path.with_suffix(".bin")
        beside = self.path.suffix == ".xml" and weights.is_file()
        return self.path.stat().st_size + (weights.stat().st_size if beside else 0)

    @property
    def classifies(self) -> bool:
        """Whether its predictions can be compared: its classes and preprocessing are known."""
        return self.metadata.num_classes > 1 and bool(self.metadata.preprocessing)

    def example(self, batch_size: int) -> Tensor:
        """(batch_size, …): noise, of which every image is another."""
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(batch_size, *self.size, generator=generator)
        if not self.metadata.raw_images:
            return noise
        return (128 + 64 * noise).clamp(0, 255).to(torch.uint8)


@dataclass
class Opened:
    """A candidate in a runtime. label: the runtime's, for people. model: with its preprocessing."""

    candidate: Candidate
    runtime: str
    label: str
    module: ExportedModule
    model: Model


def open_candidate(candidate: Candidate, runtime: str) -> Opened:
    """Raises UserError if the runtime does not accept the file."""
    chosen = get_runtime(runtime)
    module = chosen.open(candidate.path, candidate.metadata)
    model = as_model(module, candidate.metadata)
    if candidate.batch is not None:
        model = replace(model, max_batch=candidate.batch)
    return Opened(candidate, runtime, chosen.label, module, model)


def describe_program(path: Path, float_model: Model | None) -> Candidate:
    """A ``.pte`` that ``vitquant export`` wrote, which takes one image at a time.

    Raises:
        UserError: it cannot be read, or was made from another model.
    """
    metadata = METADATA[EXECUTORCH](path)
    _check_model(path, metadata, float_model)
    size = tuple(metadata.preprocessing["input_size"])
    return Candidate(str(path), "file", path, metadata, size, 1)


def describe_file(path: Path, graph: ModelProto, float_model: Model | None) -> Candidate:
    """An ONNX file of any origin. float_model: says what the file does not, where it fits.

    Raises:
        UserError: it takes something else than images, or was made from another model.
    """
    constants = {tensor.name for tensor in graph.graph.initializer}
    inputs = [value for value in graph.graph.input if value.name not in constants]
    dims = _dims(inputs[0]) if len(inputs) == 1 else []
    if len(dims) != 4:
        raise UserError(
            f"FILE: {path} has {_described(inputs)}; an ONNX file whose one input is a batch of "
            f"images is accepted"
        )
    try:
        metadata = parse_metadata(graph)
    except (KeyError, TypeError, ValueError):
        metadata = _of_model(float_model, inputs[0])
    _check_model(path, metadata, float_model)
    size = tuple(dims[1:])
    if metadata.raw_images:
        size = (*metadata.preprocessing["input_size"][1:], size[-1])
    elif not all(size) and float_model is not None:
        size = float_model.input_size
    if not all(size):
        raise UserError(
            f"FILE: {path} leaves the size of images open; --model says it, or a file of one size "
            f"is accepted"
        )
    return Candidate(str(path), "file", path, metadata, size, dims[0] or None)


def metadata_of(model: Model, bits: str) -> Metadata:
    """Of a file that was made of the float model."""
    return replace(
        UNKNOWN,
        identity=model.identity,
        preprocessing=model.preprocessing,
        classes=model.classes,
        num_classes=model.num_classes,
        bits=bits,
    )


def _check_model(path: Path, metadata: Metadata, model: Model | None) -> None:
    made_of = metadata.identity.architecture
    if model is not None and made_of not in ("", model.identity.architecture):
        raise UserError(
            f"--model: {path} was made from {metadata.identity.name}; that model is accepted, to "
            f"compare the file with"
        )


def _of_model(model: Model | None, given: ValueInfoProto) -> Metadata:
    """What a float model says of a file that has the same inputs and says nothing itself."""
    floats = given.type.tensor_type.elem_type == TensorProto.FLOAT
    if model is None or not floats or tuple(_dims(given)[1:]) != model.input_size:
        raw = given.type.tensor_type.elem_type == TensorProto.UINT8
        return replace(UNKNOWN, raw_images=raw)
    # Its name and width are still not known.
    return replace(metadata_of(model, ""), identity=UNKNOWN.identity)


def _dims(given: ValueInfoProto) -> list[int]:
    """Sizes of an input; 0 for those that are open."""
    return [dim.dim_value for dim in given.type.tensor_type.shape.dim]


def _described(inputs: list[Any]) -> str:
    if len(inputs) != 1:
        return f"{len(inputs)} inputs"
    return f"an input of {len(_dims(inputs[0]))} dimensions"
