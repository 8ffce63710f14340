"""From a network to an ONNX graph through PyTorch's exporter, and what no runtime needs of it."""

import ast
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import torch
from onnx import ModelProto, NodeProto, TensorProto
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vitquant.core.errors import UserError, first_line
from vitquant.quantization.layers.attention import decomposed_sdpa
from vitquant.quantization.layers.interception import SDPA

INPUT, TOKENS = "images", "input_ids"
# Where the exporter notes the classes of the modules that a node is from.
_CLASSES = "pkg.torch.onnx.class_hierarchy"
# The same for their names, the outermost first, and behind them that of the node.
_SCOPES = "pkg.torch.onnx.name_scopes"


def trace(
    network: nn.Module,
    example: Tensor,
    dynamic: dict[int, str],
    opset: int,
    output: str,
    name: str = INPUT,
) -> ModelProto:
    """The graph of a network in eval mode.

    Args:
        example: an input.
        dynamic: names of its dimensions whose size is left open, by position.
        output: what to call the network's output.
        name: what to call its input.

    Raises:
        UserError: the exporter cannot follow the network's code.
    """
    sizes = {i: torch.export.Dim(name) for i, name in dynamic.items()}
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                network,
                (example,),
                input_names=[name],
                output_names=[output],
                dynamic_shapes=(sizes,),
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise UserError(
            f"FILE: PyTorch's exporter cannot follow this network ({_reason(error)}); ViT, DeiT "
            f"and Swin are accepted"
        ) from error
    if program is None:  # which is for the exporter that came before dynamo's
        raise RuntimeError("torch.onnx.export returned no program")
    return program.model_proto


class _Decomposed(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is SDPA:
            return decomposed_sdpa(torch.matmul, torch.matmul, *args, **kwargs)
        return func(*args, **kwargs)


@contextmanager
def decomposed_attention(network: nn.Module) -> Iterator[None]:
    """Inside, attention whose matmuls are float computes by single operations.

    Those of quantized ones are taken apart by the mode of their own, which sees them first.
    """
    mode = _Decomposed()
    entering = network.register_forward_pre_hook(lambda *_: _enter(mode))
    leaving = network.register_forward_hook(
        lambda *_: mode.__exit__(None, None, None), always_call=True
    )
    try:
        yield
    finally:
        entering.remove()
        leaving.remove()


def _enter(mode: TorchFunctionMode) -> None:
    mode.__enter__()


@contextmanager
def tensor_output(network: nn.Module, output: Callable[[Any], Tensor]) -> Iterator[None]:
    """Inside, a network returns a tensor: ``output`` of what it returns otherwise."""
    handle = network.register_forward_hook(lambda _, args, returned: output(returned))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's messages about itself."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)


def nodes_of(model: ModelProto, kind: type[nn.Module]) -> set[str]:
    """Names of the nodes that modules of a class became, before what says so is stripped."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    return {
        node.name
        for node in model.graph.node
        if any(p.key == _CLASSES and name in p.value for p in node.metadata_props)
    }


def name_after_modules(model: ModelProto, names: Mapping[str, str]) -> None:
    """Begin the names of nodes with that of the module that they are from, in place, before what
    says so is stripped. A runtime's profile then tells what a module costs.

    names: of modules, by what the traced network calls them.
    """
    for node in model.graph.node:
        for noted in node.metadata_props:
            if noted.key == _SCOPES:
                *scopes, _ = ast.literal_eval(noted.value)
                if scopes and scopes[-1] in names:
                    node.name = f"{names[scopes[-1]]}/{node.name}"


def strip_exporter_metadata(model: ModelProto) -> None:
    """Drop what the exporter notes about a graph, in place.

    That is paths of source files, and shapes that a runtime finds by itself; they can take more
    space than packed weights.
    """
    graph = model.graph
    del graph.value_info[:]
    for described in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del described.metadata_props[:]
        described.doc_string = ""


def drop_empty_padding(model: ModelProto) -> None:
    """Drop Pad nodes that add nothing, in place.

    timm's Swin pads its maps to whole windows, also where they are whole already.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    same: dict[str, str] = {}
    kept = []
    for node in graph.node:
        node.input[:] = [same.get(name, name) for name in node.input]
        if _pads_nothing(node, constants):
            same[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


def _pads_nothing(node: NodeProto, constants: dict[str, TensorProto]) -> bool:
    if node.op_type != "Pad" or len(node.input) < 2 or node.input[1] not in constants:
        return False
    return not np.any(onnx.numpy_helper.to_array(constants[node.input[1]]))


# Fewer values are not worth a node.
_WORTH = 256


def float16_initializers(model: ModelProto) -> None:
    """Store float32 initializers as float16 with a Cast, in place, where that is exact.

    A checkpoint holds norms, embeddings and position biases as float16, so for these it is. As with
    the integers, runtimes compute the Cast once.
    """
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _WORTH:
            continue
        values = onnx.numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            halves = values.astype(np.float16)
        if not np.array_equal(halves.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(halves, f"{name}.half"))
        cast = onnx.helper.make_node(
            "Cast", [tensor.name], [name], name=f"{name}/widen", to=TensorProto.FLOAT
        )
        casts.append(cast)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
