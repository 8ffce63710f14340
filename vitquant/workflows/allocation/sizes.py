"""How many bytes a file will have, before anything is searched or trained."""

from dataclasses import dataclass, replace
from typing import cast

from torch import Tensor

from vitquant.checkpoint.header import Header, layer_records
from vitquant.checkpoint.packing import packed_bytes
from vitquant.checkpoint.write import checkpoint_bytes
from vitquant.exporters.onnx.export import to_onnx
from vitquant.exporters.onnx.graph import get_weight_type, smallest_type
from vitquant.exporters.onnx.options import OnnxOptions
from vitquant.models.model import Model
from vitquant.quantization.layers.base import is_float_remainder
from vitquant.quantization.methods.base import get_method
from vitquant.quantization.ptq.context import PTQContext, find_folds
from vitquant.quantization.ptq.convert import convert
from vitquant.quantization.ptq.prepare import add_rescaling, prepare
from vitquant.quantization.quantizers.grid import weight_grid
from vitquant.workflows.results.header import header_of

# What is not known before: digits of a layer's signal-to-noise ratio, and in a graph constants that
# depend on scales. How bits were chosen is stored too, and the losses of training.
_UNKNOWN = {"checkpoint": 8, "onnx": 96}
_ALLOCATION, _LOSSES = 400, 1100


@dataclass(frozen=True)
class FileSize:
    """Of the file that a context will become: the checkpoint, or what is exported from it."""

    context: PTQContext

    @property
    def kind(self) -> str:
        """``checkpoint`` or ``onnx``."""
        return self.context.settings.budget_of

    def of_weights(self, count: int, bits: float) -> int:
        """Bytes of so many weights."""
        if not count:
            return 0
        grid = weight_grid(bits)
        if self.kind == "checkpoint":
            return packed_bytes(count, grid)
        stored = smallest_type(grid, get_weight_type(self._onnx.target.weight_types[0]))
        return packed_bytes(count, weight_grid(stored.bits))

    def whole(self, context: PTQContext) -> int:
        """At the bits of ``context``, and a little more than it can be.

        Takes a conversion with scales that nobody has searched, and for an ONNX file an export.
        """
        model, header = structure(context)
        unknown = _UNKNOWN[self.kind] * len(header.layers) + _ALLOCATION
        if get_method(context.settings.method).is_trained:
            unknown += _LOSSES
        if self.kind == "checkpoint":
            return len(checkpoint_bytes(model.module, header)) + unknown
        context.progress.say("exporting, to count the bytes of the ONNX file")
        return int(to_onnx(model, header, self._onnx).ByteSize()) + unknown

    @property
    def _onnx(self) -> OnnxOptions:
        return OnnxOptions(target=self.context.settings.profile)


def weight_counts(context: PTQContext) -> dict[str, int]:
    """How many weights each layer has."""
    names, network = [point.name for point in context.points.layers], context.float_model
    return {name: cast(Tensor, network.get_submodule(name).weight).numel() for name in names}


def structure(context: PTQContext) -> tuple[Model, Header]:
    """A converted model, and what its checkpoint would say, with scales that nobody has searched.

    Its files have the size, and its layers take the time, of what a context will become.
    """
    settings = context.settings
    student = prepare(context.float_model, context.points, context.bits, settings)
    if get_method(settings.method).is_trained:
        folds, stored = find_folds(context), settings.stored_rescaling
        add_rescaling(student, folds, context.points.functional, stored=stored)
    records = layer_records(student, convert(student, context.float_model))
    header = header_of(context, student, records)
    student.eval().requires_grad_(False)
    for name, tensor in student.state_dict().items():
        if tensor.is_floating_point() and not is_float_remainder(name, tensor):
            # No float16, as what a search finds: an exported file holds what it can as float16.
            tensor.fill_(0.1)
    return replace(context.model, module=student.cpu()), header
