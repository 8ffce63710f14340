"""How a model is to be written as ONNX, and whether it can be written so."""

from dataclasses import dataclass

from torch import nn

from vitquant.config.targets import DEFAULT_TARGET, TARGETS
from vitquant.config.targets.base import Symmetry, Target
from vitquant.core.errors import UserError
from vitquant.exporters.onnx.graph import INT2, INT16, OnnxIntType, get_weight_type, smallest_type
from vitquant.quantization.layers.attention import QuantizedMatmul
from vitquant.quantization.layers.base import IntLayer
from vitquant.quantization.quantizers.modules import FrozenQuantizer


@dataclass(frozen=True)
class OnnxOptions:
    """How to write a model.

    min_weight_type: the smallest type that weights are stored in; each gets the smallest that holds
    it. opset: by default the lowest that has these types. float_attention: leave the matmuls of
    activations float. raw_images: take uint8 images (batch, H, W, 3) of any size and preprocess
    them in the graph. target: what the file is to be fast on. rest: float32 or float16, between
    integer products; by default the target's.
    """

    min_weight_type: OnnxIntType = INT2
    opset: int | None = None
    float_attention: bool = False
    raw_images: bool = False
    target: Target = TARGETS[DEFAULT_TARGET]
    rest: str | None = None

    @property
    def rest_type(self) -> str:
        """The type between integer products."""
        return self.rest or self.target.rest


def choose_weight_type(name: str | None, target: Target, flag: str) -> OnnxIntType:
    """The type called ``name``, by default the narrowest that the target has.

    Raises:
        UserError: there is no such type, or the target lacks it.
    """
    chosen = get_weight_type(name or target.weight_types[0], flag)
    if chosen.name not in target.weight_types:
        raise UserError(
            f"{flag}: {target.label} has no type {chosen.name}; accepted: "
            f"{', '.join(target.weight_types)}"
        )
    return chosen


def weight_types(network: nn.Module, options: OnnxOptions) -> set[OnnxIntType]:
    """The types that the weights of a network will have."""
    layers = [m for m in network.modules() if isinstance(m, IntLayer)]
    return {smallest_type(layer.grid, options.min_weight_type) for layer in layers}


def choose_opset(network: nn.Module, options: OnnxOptions) -> int:
    """The opset to write.

    Raises:
        UserError: the one asked for has no type for the weights or the activations.
    """
    highest = options.target.highest_opset
    types = weight_types(network, options)
    if any(m.grid.signed for m in network.modules() if isinstance(m, FrozenQuantizer)):
        types.add(INT16)
    lowest = max(types, key=lambda t: t.opset)
    if options.opset is None:
        return lowest.opset
    if options.opset < lowest.opset:
        where = "the activations" if lowest is INT16 else "the weights"
        other = "" if lowest is INT16 else ", or another --weight-type"
        raise UserError(
            f"--opset: {options.opset} has no type {lowest.name} for {where}; "
            f"{lowest.opset} to {highest} are accepted{other}"
        )
    if options.opset > highest:
        raise UserError(
            f"--opset: {options.opset} is not supported yet; {lowest.opset} to {highest} are "
            f"accepted"
        )
    return options.opset


def check_target(network: nn.Module, options: OnnxOptions) -> None:
    """Check that a quantized network is one that the target computes fast.

    Raises:
        UserError: it has to be quantized again, for that target.
    """
    target = options.target
    for name, quantizer, symmetry in _quantizers(network, options):
        zero_point = int(quantizer.zero_point)
        accepted = {quantizer.grid.middle} | (set() if symmetry is Symmetry.ALL else {0})
        if symmetry is not Symmetry.NONE and zero_point not in accepted:
            raise _other(target, f"the zero point of {name} is not 0 as a signed integer")
        if quantizer.grid.signed and not target.int16:
            raise _other(target, f"the activations of {name} are 16-bit integers")
        if quantizer.heads and not target.head_scales:
            raise _other(target, f"the heads of {name} have scales of their own")
        if quantizer.prefix.count and not target.prefix_scales:
            raise _other(target, f"class tokens in {name} have scales of their own")


def _quantizers(
    network: nn.Module, options: OnnxOptions
) -> list[tuple[str, FrozenQuantizer, Symmetry]]:
    """The quantizers of activations, with what the target asks of them."""
    target, found = options.target, []
    for name, module in network.named_modules():
        if isinstance(module, IntLayer) and module.input is not None:
            found.append((name, module.input, target.inputs))
        if isinstance(module, QuantizedMatmul) and not options.float_attention:
            sides = (("left", module.left), ("right", module.right))
            for side, quantizer in sides:
                if isinstance(quantizer, FrozenQuantizer):
                    found.append((f"{name}.{side}", quantizer, target.matmuls))
    return found


def _other(target: Target, why: str) -> UserError:
    return UserError(
        f"--target: the checkpoint was not made for {target.label}: {why}; quantize the model "
        f"again with --target {target.name}, or export for {DEFAULT_TARGET}, which takes every "
        f"checkpoint"
    )
