"""How many values the activations of each point have."""

from torch import Tensor, nn

from vitquant.quantization.graph.points import QuantizationPoints
from vitquant.quantization.graph.trace import trace


def activation_values(
    model: nn.Module, points: QuantizationPoints, images: Tensor
) -> dict[str, int]:
    """Of a layer's input, and of both operands of a matmul, by name; for one image.

    images: (B, C, H, W), or tokens (B, L).
    """
    counter = _Counter()
    trace(model, images, counter)
    names = {point.name for point in points.layers} | {point.name for point in points.matmuls}
    return {name: n // len(images) for name, n in counter.values.items() if name in names}


class _Counter:
    def __init__(self) -> None:
        self.values: dict[str, int] = {}

    def on_layer(self, layer: str, caller: str, x: Tensor) -> None:
        self.values[layer] = x.numel()

    def on_matmul(self, caller: str, index: int, left: Tensor, right: Tensor) -> None:
        self.values[f"{caller}.products.{index}".lstrip(".")] = left.numel() + right.numel()

    def on_unsupported(self, caller: str, what: str) -> None:
        pass
