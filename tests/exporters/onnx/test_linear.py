"""Linears on rows, in integers."""

import onnx
import pytest
import torch
from torch import nn

from vitquant.config.bits import Bits
from vitquant.evaluation.agreement import compare_outputs
from vitquant.exporters.onnx.lower import lower
from vitquant.exporters.onnx.options import OnnxOptions
from vitquant.exporters.onnx.symbolic_ops import symbolic_ops
from vitquant.exporters.onnx.trace import trace
from vitquant.exporters.runtimes.ort_runtime import OnnxModule
from vitquant.quantization.layers.linear import FakeQuantLinear
from vitquant.quantization.quantizers.grid import grids


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Tanh(), nn.GELU(), nn.Identity()])
def test_an_activation_behind_leaves_it_an_integer_kernel(activation, tmp_path):
    torch.manual_seed(0)
    rows = torch.randn(8, 16)
    layer = FakeQuantLinear(nn.Linear(16, 12).requires_grad_(False), *grids(Bits(8, 8)))
    layer.calibrate(rows)
    network = nn.Sequential(layer.convert(), activation, nn.LayerNorm(12)).eval()
    with symbolic_ops(network) as modules:
        graph = trace(network, rows, {0: "batch"}, 21, "y")
        kernels = lower(graph, modules, OnnxOptions())
    graph.ir_version = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", 21)])
    onnx.checker.check_model(graph, full_check=True)
    path = tmp_path / "linear.onnx"
    path.write_bytes(graph.SerializeToString())
    module = OnnxModule(path)
    assert module.integer_kernels() == kernels == ["0"]
    with torch.inference_mode():
        assert compare_outputs(network(rows), module(rows), 0).difference < 1e-2
