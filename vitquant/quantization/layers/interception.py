"""Replace the matmuls inside an attention without touching, or copying, its code.

An attention of any signature calls ``a @ b``, ``torch.matmul``, ``torch.bmm`` or
``F.scaled_dot_product_attention`` on two activations, and some call ``F.linear`` on the weight of
a child. Two hooks enter a ``TorchFunctionMode`` before the module's forward pass and leave it
after, and the mode routes these calls to the quantized modules. The module keeps its class, its
attributes and its parameter names; the hooks are functions of this file, so that it can be pickled.
"""

import operator
from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from vitquant.core.torch_private import innermost_function_mode
from vitquant.quantization.layers.attention import QuantizedMatmul, decomposed_sdpa
from vitquant.quantization.layers.linear import FakeQuantLinear, IntLinear
from vitquant.quantization.layers.symbolic_trace import RecordedCall, find_proxy

_T = torch.Tensor
# ``a @ b`` is Tensor.matmul, but torch.export in strict mode takes it for the operator.
_OPERATORS = {_T.__matmul__, operator.matmul, operator.imatmul}
MATMULS = frozenset({torch.matmul, _T.matmul, torch.bmm, _T.bmm, torch.mm, _T.mm, *_OPERATORS})
SDPA = F.scaled_dot_product_attention
FUNCTIONAL_LAYERS = (FakeQuantLinear, IntLinear)


class InterceptedMatmuls(nn.ModuleList):
    """The quantized matmuls of an intercepted module, in the order of its calls.

    They are the module's ``products``: checkpoints have that name.
    """

    def __iter__(self) -> Iterator[QuantizedMatmul]:
        return cast(Iterator[QuantizedMatmul], super().__iter__())


def intercept(module: nn.Module, matmuls: Iterable[QuantizedMatmul]) -> None:
    """Route the module's matmuls to ``matmuls``, in place; none of them for its F.linear alone."""
    if is_intercepted(module):
        raise ValueError(f"{type(module).__name__} is already intercepted")
    set_matmuls(module, matmuls)
    module.register_forward_pre_hook(_enter, with_kwargs=True)
    module.register_forward_hook(_leave, with_kwargs=True, always_call=True)


def set_matmuls(module: nn.Module, matmuls: Iterable[QuantizedMatmul]) -> None:
    """Exchange the quantized matmuls of an intercepted module."""
    module.products = InterceptedMatmuls(matmuls)


def is_intercepted(module: nn.Module) -> bool:
    return isinstance(getattr(module, "products", None), InterceptedMatmuls)


def intercepted(model: nn.Module) -> Iterator[tuple[str, nn.Module, InterceptedMatmuls]]:
    """Name, module and matmuls of everything intercepted in a model."""
    for name, module in model.named_modules():
        matmuls = getattr(module, "products", None)
        if isinstance(matmuls, InterceptedMatmuls):
            yield name, module, matmuls


def _enter(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
    _MatmulInterceptor(module, find_proxy(args, kwargs)).__enter__()


def _leave(module: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> Any:
    mode = innermost_function_mode()
    if not isinstance(mode, _MatmulInterceptor) or mode.module is not module:
        return None
    mode.__exit__(None, None, None)
    return None if mode.recorded is None else mode.recorded.replace(args, kwargs, output)


class _MatmulInterceptor(TorchFunctionMode):
    def __init__(self, module: nn.Module, proxy: fx.Proxy | None) -> None:
        super().__init__()
        self.module = module
        self.recorded = None if proxy is None else RecordedCall(module, proxy)
        self.matmuls = cast(InterceptedMatmuls, module.products)
        self.quantizes = len(self.matmuls) > 0 and proxy is None
        self.calls = 0
        self.layers = [m for m in module.children() if isinstance(m, FUNCTIONAL_LAYERS)]
        # Of integer layers, the weights that the module has read.
        self.read: list[tuple[Tensor, IntLinear]] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.linear:
            return self._linear(*args, **kwargs)
        if func is torch.mul:
            return self._mul(*args, **kwargs)
        if not self.quantizes:
            return func(*args, **kwargs)
        if func in MATMULS:
            return self._matmul(*operands(args, kwargs))
        if func is SDPA:
            return decomposed_sdpa(self._next(), self._next(), *args, **kwargs)
        return func(*args, **kwargs)

    def _next(self) -> nn.Module:
        self.calls += 1
        return self.matmuls[self.calls - 1]

    def _matmul(self, left: Tensor, right: Tensor) -> Tensor:
        if self._is_parameter(left) or self._is_parameter(right):
            return torch.matmul(left, right)
        return self._next()(left, right)

    def _is_parameter(self, x: Tensor) -> bool:
        """Also where ``torch.func.functional_call`` has a plain tensor in a parameter's place."""
        return is_parameter(x) or any(x is own for own in self.module.parameters())

    def _mul(self, input: Any, other: Any, **kwargs: Any) -> Tensor:
        product = torch.mul(input, other, **kwargs)
        for layer in self.layers:
            if isinstance(layer, IntLinear) and layer.codes is input:
                self.read.append((product, layer))
        return product

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        for own, integer in self.read:
            if own is weight:
                return integer.matmul(input, bias)
        for layer in self.layers:
            if isinstance(layer, FakeQuantLinear) and layer.weight is weight:
                return layer.matmul(input, bias)
        return F.linear(input, weight, bias)


def operands(args: tuple, kwargs: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Left and right of a call to one of ``MATMULS``, whether given by position or by name."""
    left, right = *args, *(kwargs[n] for n in ("input", "other", "mat2") if n in kwargs)
    return left, right


def is_parameter(x: Tensor) -> bool:
    return isinstance(x, nn.Parameter)
