"""Replace the products inside an attention without touching, or copying, its code.

An attention of any signature calls ``a @ b``, ``torch.matmul``, ``torch.bmm`` or
``F.scaled_dot_product_attention`` on two activations, and some call ``F.linear`` on the weight of
a child. While the module's own forward runs, a ``TorchFunctionMode`` sees these calls and routes
them to the quantized modules. The module keeps its class's name, attributes and parameter names;
only its class is swapped for a subclass, as ``torch.nn.utils.parametrize`` does.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vitquant.quantization.layers.attention import QuantizedMatmul, decomposed_sdpa
from vitquant.quantization.layers.linear import FakeQuantLinear, IntLinear

_T = torch.Tensor
MATMULS = frozenset({torch.matmul, _T.matmul, torch.bmm, _T.bmm, torch.mm, _T.mm})
SDPA = F.scaled_dot_product_attention
FUNCTIONAL_LAYERS = (FakeQuantLinear, IntLinear)


class Intercepted:
    """Mixin for a module whose products are quantized. ``products`` holds them in call order."""

    products: nn.ModuleList

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with _Routing(self):
            return super().forward(*args, **kwargs)  # type: ignore[misc]


def intercept(module: nn.Module, products: list[QuantizedMatmul]) -> None:
    """Route the module's products to ``products``, in place."""
    if isinstance(module, Intercepted):
        raise ValueError(f"{type(module).__name__} is already intercepted")
    cls = type(module)
    module.__class__ = type(cls.__name__, (Intercepted, cls), {"__module__": cls.__module__})
    module.products = nn.ModuleList(products)


def intercepted(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Names and modules of everything intercepted in a model."""
    for name, module in model.named_modules():
        if isinstance(module, Intercepted):
            yield name, module


class _Routing(TorchFunctionMode):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        # Without products, a module is intercepted for its F.linear alone.
        self.quantizes_products = len(module.products) > 0
        self.remaining = iter(module.products)
        self.layers = {
            id(child.weight): child
            for child in module.children()
            if isinstance(child, FUNCTIONAL_LAYERS)
        }

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.linear:
            return self._linear(*args, **kwargs)
        if not self.quantizes_products:
            return func(*args, **kwargs)
        if func in MATMULS:
            return self._matmul(*operands(args, kwargs))
        if func is SDPA:
            return decomposed_sdpa(next(self.remaining), next(self.remaining), *args, **kwargs)
        return func(*args, **kwargs)

    def _matmul(self, left: Tensor, right: Tensor) -> Tensor:
        if is_parameter(left) or is_parameter(right):
            return torch.matmul(left, right)
        return next(self.remaining)(left, right)

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        layer = self.layers.get(id(weight))
        return F.linear(input, weight, bias) if layer is None else layer.product(input, bias)


def operands(args: tuple, kwargs: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Left and right of a call to one of ``MATMULS``, whether given by position or by name."""
    left, right = *args, *(kwargs[n] for n in ("input", "other", "mat2") if n in kwargs)
    return left, right


def is_parameter(x: Tensor) -> bool:
    return isinstance(x, nn.Parameter)
