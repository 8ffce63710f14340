"""Weights of a file into a network that is there."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn

from vitquant.core.errors import VitquantWarning
from vitquant.models.weight_files.match_names import Matched, Wanted, match_names


def load_matching(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    wanted: Wanted,
    path: Path,
    resample: Callable[[Matched], Mapping[str, Tensor]],
) -> None:
    """Load the tensors of a file into a network, under whatever prefix they have there.

    Args:
        path: of the file, for messages.
        resample: makes positions of another input size fit; it is called if there are any.

    Raises:
        UserError: they do not fit.
    """
    matched = match_names(tensors, wanted, f"--weights: {path}")
    for note in matched.notes:
        warnings.warn(note, VitquantWarning, stacklevel=3)
    if matched.resized:
        matched.tensors.update(resample(matched))
    # Nothing is missing but buffers that the network derives itself.
    module.load_state_dict(matched.tensors, strict=False)
