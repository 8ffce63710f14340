"""Where float models come from: one file for each source, and here the list of them."""

import difflib
import os
from pathlib import Path
from typing import Protocol

from vitquant.core.errors import UserError
from vitquant.models.adapter import ModelAdapter
from vitquant.models.model import Model
from vitquant.models.sources import (
    from_miniature,
    from_timm,
    from_torchvision,
    from_transformers,
)


class ModelSource(Protocol):
    """A file that loads models by name."""

    ADAPTER: ModelAdapter
    """How to ask its models, and to build them again for a checkpoint."""

    ACCEPTED: str
    """The names that it takes, for people."""

    def names(self) -> list[str]:
        """Names that it knows, to find what a misspelt one means."""
        ...

    def claims(self, name: str) -> bool:
        """Whether a name is one of its."""
        ...

    def load(
        self,
        name: str,
        weights: Path | None = None,
        num_classes: int | None = None,
        input_size: tuple[int, int] | None = None,
    ) -> Model:
        """The float model of a name, in eval mode."""
        ...


# The first that claims a name loads it.
SOURCES: tuple[ModelSource, ...] = (from_miniature, from_torchvision, from_transformers, from_timm)

ACCEPTED = ", ".join([*(s.ACCEPTED for s in SOURCES), "or the path of a checkpoint"])


def load_float(
    name: str,
    weights: Path | None = None,
    num_classes: int | None = None,
    input_size: tuple[int, int] | None = None,
) -> Model:
    """A pretrained float model in eval mode.

    Args:
        name: an alias, a miniature, a timm name with or without tag, ``hf-hub:owner/name``,
            ``torchvision:name``, or a folder of transformers.
        weights: a safetensors file of the library's parameter names, or a folder of shards,
            instead of a download.
        num_classes: the classes in ``weights``, where they differ from the architecture's; 0
            leaves the classifier out.
        input_size: (height, width) of the images in pixels, where it differs from the model's own.

    Raises:
        UserError: no such model, weights that do not fit, or nothing could be downloaded.
    """
    for source in SOURCES:
        if source.claims(name):
            return source.load(name, weights, num_classes, input_size)
    raise UserError(f"MODEL: {name!r} is not a model{_near(name)}; accepted: {ACCEPTED}")


def adapter_of(source: str) -> ModelAdapter:
    """The adapter that a checkpoint names.

    Raises:
        UserError: this vitquant has none such.
    """
    known = {s.ADAPTER.source: s.ADAPTER for s in SOURCES}
    if source not in known:
        raise UserError(
            f"FILE: its model is from {source!r}, and this vitquant builds those of "
            f"{', '.join(known)}; a newer vitquant is needed"
        )
    return known[source]


def _near(name: str) -> str:
    architecture = name.partition(".")[0]
    known = [known for source in SOURCES for known in source.names()]
    near = difflib.get_close_matches(architecture, known, n=1, cutoff=0.7)
    if near:
        return f" (did you mean {near[0]}?)"
    if Path(name).is_dir():
        return ", but a folder without a config.json that has a model_type"
    if os.sep in name or name.endswith(".safetensors"):
        return ", and no file has that name"
    return ""
