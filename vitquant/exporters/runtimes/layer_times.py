"""How long each quantized layer of an exported file takes, by ONNX Runtime's profiler.

ONNX Runtime runs another graph than the file's: it fuses nodes, and moves quantizations. What a
layer became is found by names. The exporter names the nodes of a layer after it, and a fused node
keeps the name of one of them, with more behind it at most. A quantization that was moved has a new
name; it is of the layer that its integers come to.
"""

import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import onnx
from onnx import NodeProto
from torch import Tensor

from vitquant.exporters.runtimes.ort_runtime import OnnxModule, profile_nodes

OTHER = "other"
"""What belongs to no layer: normalization, softmax, activations, additions, moves of memory."""

_CONVERT = ("QuantizeLinear", "DequantizeLinear", "Cast")
# Past what else a quantization may be moved.
_MOVE = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Split")


def layer_times(
    path: Path, names: Iterable[str], images: Tensor, runs: int = 30
) -> dict[str, float]:
    """Seconds per image of each layer, and of ``"other"``, in one thread.

    A layer's time is that of its product, of quantizing its input and of adding its bias. A layer
    without a node, because its output is the same for every image, has 0. The sum is the time of a
    run without the profiler, whose own share is taken to be the same for each node.

    Args:
        path: an ONNX file that ``vitquant export`` wrote.
        names: layers and attention matmuls, as ``vitquant inspect`` calls them:
            ``blocks.0.attn.qkv``, ``blocks.0.attn.products.1``.
        images: one batch, as the file takes it: (B, C, H, W), or token IDs (B, T).
        runs: of the batch; the fastest counts, of each node and of the whole.

    Raises:
        UserError: ONNX Runtime cannot load the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        nodes = profile_nodes(
            path, images, runs, intra_op_num_threads=1, optimized_model_filepath=str(optimized)
        )
        graph = onnx.load(optimized, load_external_data=False).graph
    profiled = sum(min(node.seconds) for node in nodes)
    overhead = max(0.0, (profiled - _fastest(path, images, runs)) / len(nodes))
    found = dict.fromkeys(names, 0.0)
    layers = layers_of_nodes(graph.node, list(found))
    found[OTHER] = 0.0
    for node in nodes:
        own = max(0.0, min(node.seconds) - overhead)
        found[layers.get(node.name, OTHER)] += own / len(images)
    return found


def _fastest(path: Path, images: Tensor, runs: int) -> float:
    """Seconds of the fastest run without the profiler."""
    module = OnnxModule(path, intra_op_num_threads=1)
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        module(images)
        taken.append(time.perf_counter() - start)
    return min(taken)


def layers_of_nodes(nodes: Sequence[NodeProto], names: Sequence[str]) -> dict[str, str]:
    """The layers, of those called ``names``, that nodes belong to; others are left out.

    nodes: of an optimized graph, each behind those that it reads.
    """
    found: dict[str, str] = {}
    # By tensor: the layer that it comes to, past moves and conversions alone.
    leads_to: dict[str, str] = {}
    for node in reversed(nodes):
        layer = _layer_of_name(node.name, names)
        ahead = layer or next((leads_to[x] for x in node.output if x in leads_to), None)
        if ahead is None:
            continue
        if layer or node.op_type in _CONVERT:
            found[node.name] = ahead
        if layer or node.op_type in (*_CONVERT, *_MOVE):
            leads_to |= dict.fromkeys(node.input, ahead)
    return found


def _layer_of_name(node: str, names: Sequence[str]) -> str | None:
    """The longest of the names that a node's begins with."""
    fitting = [name for name in names if node == name or node.startswith((f"{name}.", f"{name}/"))]
    return max(fitting, key=len, default=None)
