"""Whatever MODEL names: a checkpoint that vitquant wrote, or a float model."""

from pathlib import Path

from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.errors import UserError
from vitquant.models.load import load_float
from vitquant.models.model import Model


def open_model(name: str, weights: Path | None = None, num_classes: int | None = None) -> Model:
    """Open a model in eval mode; see :func:`vitquant.models.load.load_float` for names.

    Raises:
        UserError: there is no such model, or its file cannot be used.
    """
    if not is_checkpoint(name):
        return load_float(name, weights, num_classes)
    if weights is not None or num_classes is not None:
        raise UserError(f"--weights, --num-classes: {name} is a checkpoint and holds its own")
    return restore(read_checkpoint(Path(name)))


def is_checkpoint(name: str) -> bool:
    """Whether MODEL is the path of a file rather than the name of a float model."""
    return Path(name).is_file() or name.endswith(".safetensors")
