"""A quantized model with the float model that it was made from, ready to be compared."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from vitquant.checkpoint.header import Header
from vitquant.checkpoint.read import Checkpoint
from vitquant.models.model import Model
from vitquant.quantization.graph.points import find_blocks
from vitquant.quantization.transforms.rotation import rotate

_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
# Of the rotated parameters' size: float16, and what training changes, stay far below.
_OTHER_BASIS = 0.5


@dataclass(frozen=True)
class Subject:
    """What a report is about.

    Attributes:
        checkpoint: the file.
        model: the quantized model.
        reference: the float model, in the quantized one's basis if that is known; None without one.
        blocks: names of the blocks, in order; empty where there are none.
        same_basis: whether features of both can be compared: not where the residual stream was
            rotated in a way that does not come out the same here.
    """

    checkpoint: Checkpoint
    model: Model
    reference: Model | None
    blocks: tuple[str, ...]
    same_basis: bool

    @property
    def header(self) -> Header:
        return self.checkpoint.header

    def block_of(self, name: str) -> str:
        """The block that a module or tensor is in; empty outside of blocks."""
        return next((b for b in self.blocks if name == b or name.startswith(f"{b}.")), "")


def make_subject(checkpoint: Checkpoint, model: Model, reference: Model | None) -> Subject:
    """A subject on the CPU. A reference of a rotated checkpoint is rotated, in place."""
    same_basis = reference is not None
    settings = checkpoint.header.settings
    if reference is not None and settings.get("rotate"):
        turned = rotate(reference, reference.example_inputs(), settings.get("seed", 0))
        same_basis = turned and _is_turned_alike(model, reference)
    blocks = tuple(find_blocks(model.module, _attentions(checkpoint.header, model.module)))
    return Subject(checkpoint, model, reference, blocks, same_basis)


def _attentions(header: Header, module: nn.Module) -> list[str]:
    """Modules with quantized matmuls; where none is quantized, those that are called attentions."""
    known = [record.name for record in header.products]
    named = [n for n, m in module.named_modules() if _ATTENTION.search(type(m).__name__)]
    return known or named


def _is_turned_alike(model: Model, reference: Model) -> bool:
    """Whether what is added to the tokens is about the same in both; libraries may turn
    otherwise."""
    stream = reference.adapter.residual_stream(reference.module)
    names = {id(p): name for name, p in reference.module.named_parameters()}
    own: Mapping[str, object] = model.module.state_dict()
    for parameter in [] if stream is None else stream.parameters:
        found = own.get(names[id(parameter)])
        if found is None:
            continue
        distance = (found.to(parameter) - parameter).norm()  # type: ignore[attr-defined]
        if distance > _OTHER_BASIS * parameter.norm():
            return False
    return True
