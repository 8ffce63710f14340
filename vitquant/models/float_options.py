"""What may be said of a float model beside its name."""

import os
from pathlib import Path
from typing import NamedTuple, Self

from vitquant.config.values import INPUT_SIZE, InputSize, parse_input_size
from vitquant.core.errors import UserError


class FloatOptions(NamedTuple):
    """The options of a float model; unpacked, they are the arguments of ``load_float``.

    weights: a file or folder of safetensors. input_size: (height, width) in pixels.
    """

    weights: Path | None = None
    num_classes: int | None = None
    input_size: tuple[int, int] | None = None

    @classmethod
    def build(
        cls,
        weights: str | os.PathLike[str] | None = None,
        num_classes: int | None = None,
        input_size: InputSize | None = None,
    ) -> Self:
        """From what a user gives.

        Raises:
            UserError: the number of classes is negative, or the size is none.
        """
        if num_classes is not None and num_classes < 0:
            raise UserError(f"--num-classes: {num_classes} is not 0 or more")
        size = None if input_size is None else parse_input_size(input_size)
        if size is None and input_size is not None:
            raise UserError(f"--input-size: {input_size!r} is not {INPUT_SIZE}")
        return cls(None if weights is None else Path(weights), num_classes, size)
