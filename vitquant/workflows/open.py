"""Whatever MODEL names: a checkpoint that vitquant wrote, here or on the Hub, or a float model."""

from pathlib import Path
from typing import Any

from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.core.errors import UserError
from vitquant.data.image_source import ImageSource
from vitquant.data.open import Role, open_source
from vitquant.exporters.runtimes.registry import is_onnx, open_exported
from vitquant.hub.download import checkpoint_file, quantized_config
from vitquant.hub.repository import Repository
from vitquant.models.model import Model
from vitquant.models.sources.from_timm import HUB, load_float


def open_model(
    name: str,
    weights: Path | None = None,
    num_classes: int | None = None,
    runtime: str | None = None,
) -> Model:
    """Open a model in eval mode; see :func:`load_float` for names.

    runtime: of an ONNX file, see :func:`vitquant.exporters.runtimes.registry.open_exported`.

    Raises:
        UserError: there is no such model, or its file cannot be used.
    """
    if runtime is not None and not is_onnx(name):
        raise UserError(f"--runtime: {name} is no ONNX file; only such a file has a runtime")
    if not is_checkpoint(name):
        return load_float(name, weights, num_classes)
    if weights is not None or num_classes is not None:
        raise UserError(f"--weights, --num-classes: {name} is a checkpoint and holds its own")
    if is_onnx(name):
        return open_exported(Path(name), runtime)
    return restore(read_checkpoint(checkpoint_path(name)))


def is_checkpoint(name: str) -> bool:
    """Whether MODEL is a checkpoint rather than the name of a float model: a file, or a repository
    of the Hub that holds one.

    Raises:
        UserError: it names a repository that cannot be read.
    """
    if name.startswith(HUB):
        return quantized_config(Repository.of(name)) is not None
    return Path(name).is_file() or name.endswith(".safetensors") or is_onnx(name)


def checkpoint_path(name: str, revision: str | None = None) -> Path:
    """The file of a checkpoint, downloaded where the Hub has it.

    Raises:
        UserError: the repository holds no checkpoint or cannot be read, or a revision of a file is
            asked for. Whether a local file exists is not looked at.
    """
    if not name.startswith(HUB):
        if revision is not None:
            raise UserError(f"revision: {name} is a file; a revision goes with {HUB}owner/name")
        return Path(name)
    repository = Repository.of(name, revision)
    if quantized_config(repository) is None:
        raise UserError(
            f"MODEL: {name} holds a float model; a repository with a checkpoint that vitquant "
            f"wrote is accepted"
        )
    return checkpoint_file(repository)


def images_for(model: Model, source: str, flag: str, role: Role, **options: Any) -> ImageSource:
    """Open ``source`` for ``model``; see :func:`vitquant.data.open.open_source`.

    Raises:
        UserError: there are no images, or none that can serve the role.
    """
    return open_source(
        source,
        flag=flag,
        classes=model.classes,
        num_classes=model.num_classes,
        role=role,
        **options,
    )
