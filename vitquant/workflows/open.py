"""Whatever MODEL names: a checkpoint, here or on the Hub, an exported file, or a float model."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.config.naming import Naming
from vitquant.config.values import HUB, MINIATURES
from vitquant.core.errors import UserError
from vitquant.core.progress import Progress
from vitquant.data.image_source import ImageSource
from vitquant.data.open import Role, open_source
from vitquant.data.reading import Reading
from vitquant.exporters.runtimes.registry import is_exported, open_exported
from vitquant.hub.repository import (
    CHECKPOINT,
    Repository,
    checkpoint_file,
    is_checkpoint_folder,
    quantized_config,
)
from vitquant.models.model import Model
from vitquant.models.module_adapter import SOURCE as MODULE
from vitquant.models.sources import load_float
from vitquant.models.transformers_adapter import TRANSFORMERS


@dataclass(frozen=True)
class FloatName:
    """A float model, here or on the Hub."""

    name: str


@dataclass(frozen=True)
class CheckpointFile:
    """A file that ``vitquant quantize`` wrote, or that is meant to be one."""

    name: str

    @property
    def path(self) -> Path:
        return Path(self.name)


@dataclass(frozen=True)
class HubCheckpoint:
    """A checkpoint on the Hub."""

    name: str
    repository: Repository

    @property
    def path(self) -> Path:
        """In the Hub's cache, downloaded now if it is not there. Raises UserError if it cannot."""
        return checkpoint_file(self.repository)


@dataclass(frozen=True)
class ExportedFile:
    """An ONNX file or ``.pte`` that ``vitquant export`` wrote, or that is meant to be one."""

    name: str


Named = FloatName | CheckpointFile | HubCheckpoint | ExportedFile


def resolve(name: str, revision: str | None = None) -> Named:
    """What a name means. Only names on the Hub ask a network, for ``config.json``.

    Raises:
        UserError: it names a repository that cannot be read, or a revision of a file is asked for.
    """
    if name.startswith(HUB):
        repository = Repository.of(name, revision)
        if quantized_config(repository) is None:
            return FloatName(name)
        return HubCheckpoint(name, repository)
    if revision is not None:
        raise UserError(f"revision: {name} is a file; a revision goes with {HUB}owner/name")
    if is_exported(name):
        return ExportedFile(name)
    if Path(name).is_file() or name.endswith(".safetensors"):
        return CheckpointFile(name)
    if is_checkpoint_folder(Path(name)):
        return CheckpointFile(str(Path(name) / CHECKPOINT))
    return FloatName(name)


def resolve_checkpoint(name: str, revision: str | None = None) -> CheckpointFile | HubCheckpoint:
    """A checkpoint by name. Whether a local file exists is not looked at.

    Raises:
        UserError: as :func:`resolve`, or it names a float model of the Hub.
    """
    named = resolve(name, revision)
    if isinstance(named, CheckpointFile | HubCheckpoint):
        return named
    if name.startswith(HUB):
        raise UserError(
            f"MODEL: {name} holds a float model; a repository with a checkpoint that vitquant "
            f"wrote is accepted"
        )
    return CheckpointFile(name)


def open_model(
    name: str | Named,
    weights: Path | None = None,
    num_classes: int | None = None,
    input_size: tuple[int, int] | None = None,
    runtime: str | None = None,
) -> Model:
    """Open a model in eval mode.

    Args:
        name: what :func:`resolve` takes or returns.
        weights, num_classes, input_size: of a float model, see :func:`load_float`.
        runtime: of an exported file, as
            :func:`vitquant.exporters.runtimes.registry.open_exported` takes it.

    Raises:
        UserError: there is no such model, or its file cannot be used.
    """
    named = resolve(name) if isinstance(name, str) else name
    if runtime is not None and not isinstance(named, ExportedFile):
        raise UserError(
            f"--runtime: {named.name} is no exported file; only an ONNX file or a .pte has a "
            f"runtime"
        )
    if isinstance(named, FloatName):
        return load_float(named.name, weights, num_classes, input_size)
    if (weights, num_classes, input_size) != (None, None, None):
        raise UserError(
            f"--weights, --num-classes, --input-size: {named.name} is a checkpoint and holds its "
            f"own"
        )
    if isinstance(named, ExportedFile):
        return open_exported(Path(named.name), runtime)
    return restore(read_checkpoint(named.path))


def open_float_of(model: Model, weights: Path | None, advice: str = "") -> Model:
    """The very float model that a quantized one was made from.

    Args:
        advice: what else is accepted where the weights are others, for the message.

    Raises:
        UserError: it cannot be loaded, or its weights are others.
    """
    identity = model.identity
    if identity.source == MODULE:
        raise UserError(
            f"--reference: the float {identity.name} is a module in Python; the name of a model is "
            f"accepted, or leave it out"
        )
    named = identity.name.startswith(HUB) or identity.source == TRANSFORMERS.source
    if weights is None and not identity.tag and not named:
        raise UserError(
            f"--reference: {identity.name} was quantized from a file; give it with --weights"
        )
    pinned = identity.tag and not named and identity.name not in MINIATURES
    name = f"{identity.architecture}.{identity.tag}" if pinned else identity.name
    flag = identity.name if weights is None else f"--weights: {weights}"
    others = f"{flag}: these are not the weights that the checkpoint was made from{advice}"
    _, *size = model.preprocessing.get("input_size", (0,))  # a tower of texts has none
    count = identity.arguments.get("num_classes")
    try:
        found = load_float(name, weights, count, (size[0], size[1]) if size else None)
    except UserError as error:
        # Classes and sizes are not for the user to say, but for the checkpoint.
        says = any(f"say {o}" in str(error) for o in ("--num-classes", "--input-size"))
        raise UserError(others) if says else error from error
    if identity.weights_sha256 != found.identity.weights_sha256:
        raise UserError(others)
    return found


def as_file_name(name: str) -> str:
    """A model's name as a part of the name of a file; of a folder's path, the last part."""
    name = name if name.startswith(HUB) else Path(name).name
    return re.sub(r"[/:#]", "-", name)


def images_for(model: Model, source: str, flag: str, role: Role, **options: Any) -> ImageSource:
    """Open ``source`` for ``model``; see :func:`vitquant.data.open.open_source`.

    Raises:
        UserError: there are no images or texts, or none that can serve the role.
    """
    return open_source(
        source,
        flag=flag,
        label_space=model.label_space,
        role=role,
        reads_text=model.reads_text,
        **options,
    )


def check_is_float(name: str) -> None:
    """Raise a UserError if ``name`` is that of a file, or of a model that is quantized already."""
    if not isinstance(resolve(name), FloatName):
        raise UserError(
            f"MODEL: {name} is a file, or quantized already; the name of a float model is "
            f"accepted, with --weights FILE for its weights"
        )


class ReadingSettings(Protocol):
    """Settings that say how images become RGB."""

    naming: ClassVar[Naming]

    @property
    def as_viewed(self) -> bool: ...


def reading_for(settings: ReadingSettings, progress: Progress) -> Reading:
    """How a command reads its images; warnings go to ``progress``."""
    return Reading(settings.as_viewed, settings.naming.option("as_viewed"), progress.warn)
