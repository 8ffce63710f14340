"""torch.fx records a quantized layer, and an intercepted module, as one call of that module.

A tracer of torch.fx runs the code of every module that is not torch's own, with placeholders
instead of tensors. A quantized layer branches on shapes, which placeholders do not have, and the
mode that routes an attention's matmuls does not see those of placeholders. As one call, both
compute as they always do whenever the traced graph runs.
"""

from collections.abc import Mapping
from typing import Any

from torch import fx, nn


def find_proxy(args: tuple, kwargs: Mapping[str, Any]) -> fx.Proxy | None:
    """The placeholder among the arguments of a call; None where torch.fx is not tracing."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, fx.Proxy):
            return value
    return None


def record_call(
    module: nn.Module, proxy: fx.Proxy, args: tuple, kwargs: Mapping[str, Any] | None = None
) -> Any:
    """Record a call of ``module``, whose arguments ``proxy`` is one of.

    Raises:
        ValueError: the traced module is itself quantized. torch.fx does not run its hooks.
    """
    tracer: Any = proxy.tracer
    if tracer.root is module or isinstance(getattr(tracer.root, "products", None), nn.ModuleList):
        name = type(tracer.root).__name__
        raise ValueError(
            f"{name}: torch.fx traces a model around a quantized module, not the module itself; "
            f"nn.Sequential(module) is accepted"
        )
    path = tracer.path_of_module(module)
    call: Any = tracer.create_proxy("call_module", path, args, dict(kwargs or {}))
    return call


class RecordedCall:
    """Takes out of a graph what a tracer records inside of ``module``, and puts one call there."""

    def __init__(self, module: nn.Module, proxy: fx.Proxy) -> None:
        self.module = module
        self.proxy = proxy
        self.graph = proxy.tracer.graph
        self.last = next(iter(reversed(self.graph.nodes)))

    def replace(self, args: tuple, kwargs: Mapping[str, Any], output: Any) -> Any:
        """What the call returns, in the place of ``output``, which the module's code returned."""
        for node in list(reversed(self.graph.nodes)):
            if node is self.last:
                break
            # A tracer remembers the placeholder of a parameter, and may use it again.
            if node.op != "get_attr":
                self.graph.erase_node(node)
        call = record_call(self.module, self.proxy, args, kwargs)
        if isinstance(output, tuple):
            return tuple(None if part is None else call[i] for i, part in enumerate(output))
        return call
