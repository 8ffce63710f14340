"""What a runtime is: a program that computes an exported file, which then is a model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import nn

from vitquant.exporters.runtimes.metadata import Metadata
from vitquant.models.adapter import ModelAdapter
from vitquant.models.model import Model
from vitquant.models.timm_adapter import TIMM, TimmAdapter


class ExportedModule(nn.Module):
    """A file in a runtime: tensors on any device in, the outputs on the same device out.

    Inputs are converted to the type that the file asks for. ``num_classes`` is 0 for a model
    without a classifier.
    """

    num_classes: int = 0

    def integer_kernels(self) -> list[str] | None:
        """Names of the nodes that run on integer kernels; None where the runtime does not tell."""
        return None

    def integer_attentions(self) -> int | None:
        """How many whole attentions are one integer kernel; None as above."""
        return None

    def integer_layers(self) -> int | None:
        """How many Linear and Conv2d layers run on integer kernels; None as above."""
        return None


class NodeTime(NamedTuple):
    """What one node of the graph that is run takes. kind: its operator and, in brackets, the type
    that it computes with or takes, as the runtime calls them. seconds: of a run, the mean of a
    few."""

    kind: str
    seconds: float


class Runtime(Protocol):
    """One more is a file beside this one and a line in :mod:`vitquant.exporters.runtimes.registry`.

    name: of ``--runtime``. label: as programs that users read call it. format: of ``--format``, the
    kind of file that it opens.
    """

    name: str
    label: str
    format: str

    def installed(self) -> bool:
        """Whether it can be used here."""
        ...

    def open(self, path: Path, metadata: Metadata) -> ExportedModule:
        """The file, run on the CPU with as many threads as PyTorch has.

        Raises:
            UserError: the runtime is not installed or does not accept the file. The text begins
                with the runtime's label.
        """
        ...

    def profile(self, path: Path, images: torch.Tensor, runs: int) -> list[NodeTime]:
        """What each node takes in ``runs`` runs of a file that :meth:`open` accepts."""
        ...


class RawImageModel(Model):
    """A model whose graph preprocesses: its transform only makes a tensor of an image.

    Images of one batch must have the same size, so ``max_batch`` is 1.
    """

    def transform(self) -> Callable[[Image.Image], torch.Tensor]:
        """PIL image → (H, W, 3) uint8."""
        return lambda image: torch.from_numpy(np.array(image.convert("RGB")))


class ExportedAdapter(TimmAdapter):
    """Of a file, which returns a tensor; its images go through the transform of another adapter."""

    def __init__(self, before: ModelAdapter) -> None:
        self._before = before

    def transform(self, preprocessing: dict[str, Any]) -> Callable[[Image.Image], torch.Tensor]:
        return self._before.transform(preprocessing)


def as_model(module: ExportedModule, metadata: Metadata, before: ModelAdapter = TIMM) -> Model:
    """A file in a runtime as a model like any other. before: the adapter of what was exported."""
    if not metadata.raw_images:
        return Model(
            module,
            metadata.identity,
            metadata.preprocessing,
            metadata.classes,
            adapter=ExportedAdapter(before),
        )
    # A reference beside it needs a transform of its own: what differs is not shared.
    preprocessing = metadata.preprocessing | {"in_graph": True}
    return RawImageModel(module, metadata.identity, preprocessing, metadata.classes, max_batch=1)
