"""A float network whose layers and attention matmuls can be quantized one by one, and set back."""

import copy
from collections.abc import Iterable, Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from vitquant.config.bits import Bits
from vitquant.core.distributed import Task, run_sharded
from vitquant.quantization.graph.observe import ActivationSamples
from vitquant.quantization.layers.attention import QuantizedMatmul
from vitquant.quantization.layers.base import FakeQuantLayer
from vitquant.quantization.layers.interception import InterceptedMatmuls, intercept
from vitquant.quantization.ptq.calibrate import matmul_searches
from vitquant.quantization.ptq.context import PTQContext, observe
from vitquant.quantization.ptq.prepare import fake_quant_layer, fake_quant_matmuls
from vitquant.quantization.quantizers.grid import weight_grid
from vitquant.quantization.quantizers.mse_search import search_per_channel

# Bits of activations, and whether their integers are signed.
Activation = tuple[int, bool]


class _FloatMatmul(nn.Module):
    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return torch.matmul(left, right)


class SwitchableModel:
    """A copy of the float model in which each point is float, or rounded to nearest at some bits.

    Scales are searched as ``rtn`` does, once for each width of a weight and of an activation.

    Attributes:
        module: the network. All points are float at first.
        bits: of the points that are quantized now, by name.
        names: of the points, in the order of execution of layers, then of matmuls.

    Args:
        context: what to quantize. Its images initialize the quantizers.
        widths: the bits that points will be set to. All processes call this together.
    """

    def __init__(self, context: PTQContext, widths: Iterable[Bits]) -> None:
        self.bits: dict[str, Bits] = {}
        self._layers = {point.name: point for point in context.points.layers}
        self._matmuls = {point.name: point for point in context.points.matmuls}
        self._float = context.float_model
        self.module = copy.deepcopy(context.float_model)
        for name in sorted({*context.points.functional.values(), *context.points.attentions}):
            own = sum(point.module == name for point in context.points.matmuls)
            intercept(self.module.get_submodule(name), [_FloatMatmul() for _ in range(own)])  # type: ignore[misc]
        self._inputs: dict[tuple[str, Activation], FakeQuantLayer] = {}
        self._products: dict[tuple[str, Activation], QuantizedMatmul] = {}
        self._scales: dict[tuple[str, float], Tensor] = {}
        self._search(context, list(widths))

    @property
    def names(self) -> list[str]:
        return [*self._layers, *self._matmuls]

    def set(self, bits: Mapping[str, Bits | None]) -> dict[str, Bits | None]:
        """Quantize these points, or set them back to float, which is None; the others stay.

        Returns what they were, to be passed to the next call.
        """
        before = {name: self.bits.get(name) for name in bits}
        for name, own in bits.items():
            if own is None:
                self.bits.pop(name, None)
            else:
                self.bits[name] = own
            if name in self._layers:
                self.module.set_submodule(name, self._layer(name, own))
            else:
                point = self._matmuls[name]
                products = self.module.get_submodule(point.module).products
                cast(InterceptedMatmuls, products)[point.index] = self._matmul(name, own)
        return before

    def _layer(self, name: str, bits: Bits | None) -> nn.Module:
        if bits is None:
            return self._float.get_submodule(name)
        layer = self._inputs[name, (bits.activation, bits.signed)]
        layer.grid = weight_grid(bits.weight)
        layer.log_scale.data = self._scales[name, bits.weight]
        return layer

    def _matmul(self, name: str, bits: Bits | None) -> nn.Module:
        if bits is None or not bits.quantizes_activations:
            return _FloatMatmul()
        return self._products[name, (bits.activation, bits.signed)]

    @torch.no_grad()
    def _search(self, context: PTQContext, widths: list[Bits]) -> None:
        samples, tasks = observe(context), []
        for bits in {(b.activation, b.signed): b for b in widths}.values():
            tasks += self._activation_searches(context, bits, samples)
        for name in self._layers:
            weight = cast(Tensor, self._float.get_submodule(name).weight)
            for width in dict.fromkeys(b.weight for b in widths):
                scale = weight.new_zeros(len(weight))
                self._scales[name, width] = scale
                tasks.append(Task(partial(_search_weight, weight, width, scale), [scale]))
        run_sharded(tasks, lambda all: context.progress.track(all, len(all), "searching scales"))

    def _activation_searches(
        self, context: PTQContext, bits: Bits, samples: ActivationSamples
    ) -> list[Task]:
        activation, tasks = (bits.activation, bits.signed), []
        device = context.device
        for name, point in self._layers.items():
            layer = fake_quant_layer(self._float, point, bits, context.settings).to(device)
            # The weights are the float model's, which need not be there once for each width.
            layer.weight = cast(nn.Parameter, self._float.get_submodule(name).weight)
            self._inputs[name, activation] = layer
            sample = samples.layers[name]
            run = partial(layer.calibrate_activation, sample.rows, sample.prefix_rows)
            tasks.append(Task(run, layer.calibrated_tensors()))
        for name, matmul in self._matmuls.items():
            if bits.quantizes_activations:
                made = fake_quant_matmuls([matmul], [bits], context.settings)[0].to(device)
                self._products[name, activation] = made
                tasks += matmul_searches(made, *samples.matmuls[matmul.key])
        return tasks


def _search_weight(weight: Tensor, width: float, log_scale: Tensor) -> None:
    log_scale.copy_(search_per_channel(weight, weight_grid(width)).log())
