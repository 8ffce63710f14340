"""From a network to an ExecuTorch program, and which of its layers run on integer kernels."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.export.graph_signature import InputKind
from torch.overrides import TorchFunctionMode

from vitquant.core.errors import CheckFailedError, UserError, first_line
from vitquant.exporters.executorch.layers import xnnpack_ops
from vitquant.exporters.onnx.trace import decomposed_attention, tensor_output
from vitquant.exporters.runtimes.executorch_runtime import MISSING, ExecuTorch
from vitquant.models.model import Model

# A product, and where its operands come from.
_PRODUCT = "linear", "dequantize_per_token", "dequantize_per_channel"


def check_installed(flag: str) -> None:
    """Raise a UserError, which names ``flag``, where the package is missing."""
    if not ExecuTorch().installed():
        raise UserError(f"{flag}: {MISSING}")


def to_program(
    model: Model, describe: Callable[[list[str]], Mapping[str, str]], float_attention: bool
) -> bytes:
    """The program of a quantized model, for one image at a time.

    describe: what the file says about itself, by the names of the methods that return it; it gets
    the names of the layers with an integer kernel, in the order of execution.

    Raises:
        UserError: ExecuTorch is missing, or the model has no such form.
        CheckFailedError: not every quantized layer becomes an integer kernel.
    """
    check_installed("--format")
    with _quiet():
        exir, xnnpack = import_executorch()
        traced, layers = _trace(model, float_attention)
        _drop_unused(traced)
        edge = exir.to_edge_transform_and_lower(
            traced,
            partitioner=[xnnpack.XnnpackPartitioner()],
            constant_methods=dict(describe(layers)),
            compile_config=exir.EdgeCompileConfig(_check_ir_validity=False),
        )
        if in_float := _in_float(edge.exported_program(), layers):
            raise CheckFailedError(
                f"integer kernels: {len(in_float)} of {len(layers)} layers would run in float in "
                f"ExecuTorch: {', '.join(in_float[:3])}; nothing was written"
            )
        data: bytes = edge.to_executorch().buffer
    return data


def import_executorch() -> tuple[Any, Any]:
    """What lowers programs, and its part for XNNPACK."""
    return (
        import_module("executorch.exir"),
        import_module("executorch.backends.xnnpack.partition.xnnpack_partitioner"),
    )


@torch.no_grad()
def _trace(model: Model, float_attention: bool) -> tuple[Any, list[str]]:
    """The graph, and the names of the layers in the order of execution."""
    network, example = model.module, model.example_inputs()[:1]
    with (
        xnnpack_ops(network, float_attention) as ran,
        decomposed_attention(network),
        tensor_output(network, model.adapter.output),
        _Sliced(),
    ):
        network(example)
        layers = list(ran)
        try:
            traced = torch.export.export(network, (example,), strict=False)
        except UserError:
            raise
        except Exception as error:  # the exporter's errors have no class in common
            raise UserError(
                f"FILE: torch.export cannot follow this network ({first_line(error)}); ViT, DeiT "
                f"and Swin are accepted"
            ) from error
    return traced, layers


class _Sliced(TorchFunctionMode):
    """Query, key and value cut out as slices, which XNNPACK has; ``unbind`` it does not."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func not in (torch.unbind, Tensor.unbind):
            return func(*args, **(kwargs or {}))
        return _unbind(*args, **(kwargs or {}))


def _unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    rest = [side for i, side in enumerate(input.shape) if i != dim % input.dim()]
    return tuple(input.narrow(dim, i, 1).reshape(rest) for i in range(input.shape[dim]))


def _drop_unused(program: Any) -> None:
    """Drop the tensors of the network that the graph does not read, in place.

    Those of quantized layers are not read: their lowerings hold tensors of their own. ExecuTorch
    would store both.
    """
    graph = program.graph
    graph.eliminate_dead_code()
    inputs = {node.name: node for node in graph.nodes if node.op == "placeholder"}
    for spec in list(program.graph_signature.input_specs):
        node = inputs[spec.arg.name]
        if spec.kind is InputKind.USER_INPUT or node.users:
            continue
        graph.erase_node(node)
        program.graph_signature.input_specs.remove(spec)
        program.state_dict.pop(spec.target, None)
        program.constants.pop(spec.target, None)
    program.graph_module.recompile()


def _in_float(program: Any, layers: Sequence[str]) -> list[str]:
    """The layers that are no products of integers inside what XNNPACK is given."""
    left = list(layers)
    for delegate in _delegates(program):
        for node in delegate.original_module.graph.nodes:
            targets = node.target, *(getattr(x, "target", None) for x in node.args[:2])
            if all(part in str(x) for part, x in zip(_PRODUCT, targets, strict=False)):
                module, _ = list(node.meta["nn_module_stack"].values())[-1]
                # An attention may compute a layer of its own by a function.
                own = (name for name in left if name == module or name.startswith(f"{module}."))
                if (name := next(own, None)) is not None:
                    left.remove(name)
    return left


def _delegates(program: Any) -> Iterator[Any]:
    modules = dict(program.graph_module.named_children())
    for node in program.graph.nodes:
        if node.op == "get_attr" and hasattr(modules.get(node.target), "original_module"):
            yield modules[node.target]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the tools tell about themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
