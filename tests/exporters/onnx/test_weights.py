"""A bias in units of the accumulator, and what to do where it does not fit."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from vitquant.config.bits import Bits
from vitquant.exporters.onnx.export import to_onnx
from vitquant.exporters.onnx.lower import lower
from vitquant.exporters.onnx.options import OnnxOptions
from vitquant.exporters.onnx.qdq import int32_bias
from vitquant.exporters.onnx.symbolic_ops import symbolic_ops
from vitquant.exporters.onnx.trace import trace
from vitquant.exporters.runtimes.ort_runtime import OnnxModule
from vitquant.quantization.layers.linear import FakeQuantLinear
from vitquant.quantization.quantizers.grid import grids


@pytest.fixture
def layer():
    torch.manual_seed(0)
    learned = FakeQuantLinear(nn.Linear(16, 8), *grids(Bits(4, 8)))
    learned.calibrate(torch.randn(64, 16))
    return learned.requires_grad_(False).convert()


def test_the_bias_is_rounded_to_a_unit(layer):
    steps, units = int32_bias(layer)
    assert steps.dtype == np.int32
    assert np.allclose(units, (layer.input.scale * layer.scale).numpy())
    assert np.all(np.abs(steps * units - layer.bias.numpy()) <= 0.5001 * units)


@pytest.mark.parametrize("tiny", [1e-12, 0.0])
def test_next_to_no_weights_need_a_float_bias(layer, tiny, tmp_path):
    layer.scale[3] = tiny
    assert int32_bias(layer) is None
    network, x = nn.Sequential(layer).eval(), torch.randn(5, 7, 16)
    with symbolic_ops(network) as modules:
        graph = trace(network, x, {0: "batch"}, 21, "y")
        assert lower(graph, modules, OnnxOptions()) == ["0"]
    onnx.checker.check_model(graph, full_check=True)
    path = tmp_path / "linear.onnx"
    path.write_bytes(graph.SerializeToString())
    module = OnnxModule(path)
    with torch.inference_mode():
        assert torch.allclose(module(x), network(x), atol=1e-5)
    assert module.integer_kernels() == ["0"]


def test_weights_can_be_widened_one_at_a_time(quantized, tmp_path):
    """In ONNX Runtime where a Cast is not computed at load, as on the page of a browser."""
    graph = to_onnx(*quantized("vit", "w4a4"))
    widened = [n.name for n in graph.graph.node if n.op_type == "Cast" and "weight" in n.input[0]]
    assert len(widened) > 3
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("optimization.disable_specified_optimizers", "ConstantFolding")
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "run")
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options)
    session.run(None, {"images": np.zeros((1, 3, 32, 32), np.float32)})
    events = json.loads(Path(session.end_profiling()).read_text())
    nodes = sorted((e for e in events if e["name"].endswith("_kernel_time")), key=lambda e: e["ts"])
    order = [e["name"].removesuffix("_kernel_time") for e in nodes]
    assert set(widened) <= set(order)
    unused, most = 0, 0
    for name in order:
        unused += (name in widened) - (f"{name}/widen" in widened)
        most = max(most, unused)
    assert most == 1
