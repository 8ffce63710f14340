"""The generator that was asked for, or that goes with a model."""

import torch

from vitquant.core import distributed
from vitquant.core.errors import UserError
from vitquant.core.progress import Progress
from vitquant.generate.generator import Generator
from vitquant.generate.pipeline import DEFAULT, LICENCE, is_downloaded
from vitquant.methods.settings import PRECISIONS
from vitquant.miniature.generator_files import GENERATOR
from vitquant.models.sources.from_miniature import NAMES


def load_generator(
    name: str | None, model: str, precision: str, device: str, progress: Progress
) -> Generator:
    """Load a generator; its licence is told before it is downloaded.

    Args:
        name: on the Hub, or a folder; None for the one that goes with ``model``.
        model: name of the float model.
        precision: as for training; ``auto`` is bfloat16 on a GPU.

    Raises:
        UserError: it cannot be loaded, or there is no such precision.
    """
    if precision not in PRECISIONS:
        raise UserError(f"--precision: {precision!r} is not one; accepted: {', '.join(PRECISIONS)}")
    name = name or (GENERATOR if model in NAMES else DEFAULT)
    if name == DEFAULT and distributed.is_main() and not is_downloaded(name):
        progress.say(f"downloading {name}; {LICENCE}")
    low = precision == "bfloat16" or (precision == "auto" and device.startswith("cuda"))
    return Generator.load(name, device, torch.bfloat16 if low else torch.float32)
