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


def quantized(rows):
    torch.manual_seed(0)
    layer = FakeQuantLinear(nn.Linear(16, 12).requires_grad_(False), *grids(Bits(8, 8)))
    layer.calibrate(rows)
    return layer.convert()


def exported(network, rows, folder):
    """A file, and the names of the nodes that are to run on integer kernels."""
    with symbolic_ops(network) as modules:
        graph = trace(network, rows, {0: "batch"}, 21, "y")
        kernels = lower(graph, modules, OnnxOptions())
    graph.ir_version = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", 21)])
    onnx.checker.check_model(graph, full_check=True)
    path = folder / "linear.onnx"
    path.write_bytes(graph.SerializeToString())
    return path, kernels


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Tanh(), nn.GELU(), nn.Identity()])
def test_an_activation_behind_leaves_it_an_integer_kernel(activation, tmp_path):
    rows = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    network = nn.Sequential(quantized(rows), activation, nn.LayerNorm(12)).eval()
    path, kernels = exported(network, rows, tmp_path)
    module = OnnxModule(path)
    assert module.integer_kernels() == kernels == ["0"]
    with torch.inference_mode():
        assert compare_outputs(network(rows), module(rows), 0).difference < 1e-2


class Unused(nn.Module):
    def __init__(self, used, unused):
        super().__init__()
        self.used, self.unused = used, unused

    def forward(self, x):
        self.unused(x)
        return self.used(x)


def test_a_layer_whose_output_nothing_needs_is_left_out(tmp_path):
    rows = torch.randn(8, 16)
    network = Unused(quantized(rows), quantized(rows)).eval()
    path, kernels = exported(network, rows, tmp_path)
    assert OnnxModule(path).integer_kernels() == kernels == ["used"]
