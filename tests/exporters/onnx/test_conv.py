"""Convolutions whose windows overlap, in integers."""

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from vitquant.config.bits import Bits
from vitquant.config.targets import TARGETS
from vitquant.evaluation.agreement import compare_outputs
from vitquant.exporters.onnx.graph import INT8
from vitquant.exporters.onnx.lower import lower
from vitquant.exporters.onnx.options import OnnxOptions
from vitquant.exporters.onnx.symbolic_ops import is_patch_embedding, symbolic_ops
from vitquant.exporters.onnx.tensorrt_rules import broken_rules
from vitquant.exporters.onnx.trace import trace
from vitquant.exporters.runtimes.openvino_runtime import OpenVino, OpenVinoModule
from vitquant.exporters.runtimes.ort_runtime import OnnxModule
from vitquant.quantization.layers.conv import FakeQuantConv2d
from vitquant.quantization.quantizers.grid import grids

LAYERS = {
    "overlapping": nn.Conv2d(4, 6, 3, stride=2, padding=1),
    "grouped": nn.Conv2d(4, 8, 3, padding=1, groups=4),
    "spread": nn.Conv2d(4, 6, (3, 1), dilation=(2, 1), padding="same", bias=False),
    "cut short": nn.Conv2d(4, 6, 5, stride=5),
    "patches": nn.Conv2d(4, 6, 4, stride=4),
    "patches without bias": nn.Conv2d(4, 6, (2, 4), stride=(2, 4), padding="valid", bias=False),
}


def quantized(layer, weight, activation, images):
    learned = FakeQuantConv2d(layer.requires_grad_(False), *grids(Bits(weight, activation)))
    learned.calibrate(images)
    return nn.Sequential(learned.convert()).eval()


def exported(network, images, folder, opset=25):
    """A file, and the names of the nodes that are to run on integer kernels."""
    with symbolic_ops(network) as modules:
        graph = trace(network, images[:2], {0: "batch"}, opset, "y")
        kernels = lower(graph, modules, OnnxOptions())
    graph.ir_version = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    onnx.checker.check_model(graph, full_check=True)
    path = folder / "conv.onnx"
    path.write_bytes(graph.SerializeToString())
    return path, kernels


@pytest.mark.parametrize("bits", [(8, 8), (3, 4), (1.58, 8), (4, 16)])
@pytest.mark.parametrize("name", LAYERS)
def test_it_computes_what_pytorch_does(name, bits, tmp_path):
    torch.manual_seed(0)
    LAYERS[name].reset_parameters()
    images = torch.randn(3, 4, 16, 24)
    network = quantized(LAYERS[name], *bits, images)
    # Twice the largest: padding and clipping have to be right as well.
    images = torch.cat([images, 2 * images + 0.5])
    path, expected_kernels = exported(network, images, tmp_path)
    with torch.inference_mode():
        expected = network(images)
    module = OnnxModule(path)
    found = module(images)
    assert found.shape == expected.shape
    # The bias of patches is rounded to a unit of the accumulator.
    allowed = 1e-2 if "patches" in name else 1e-6
    assert compare_outputs(expected, found, 0).difference < allowed
    assert module.integer_kernels() == expected_kernels == ([] if bits[1] == 16 else ["0"])
    assert is_patch_embedding(network[0], (16, 24)) == name.startswith("patches")


@pytest.mark.parametrize("name", LAYERS)
def test_between_quantizations_for_tensorrt(name):
    torch.manual_seed(0)
    network = quantized(LAYERS[name], 8, 8, torch.randn(3, 4, 16, 24))
    # Around 0, as a model is quantized for TensorRT.
    network[0].input.zero_point.fill_(network[0].input.grid.middle)
    images = torch.randn(2, 4, 16, 24)
    with symbolic_ops(network) as modules:
        graph = trace(network, images, {0: "batch"}, 20, "y")
        lower(graph, modules, OnnxOptions(INT8, target=TARGETS["tensorrt"]))
    assert broken_rules(graph) == []
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    (found,) = session.run(None, {"images": images.numpy()})
    with torch.inference_mode():
        expected = network(images)
    assert compare_outputs(expected, torch.from_numpy(found), 0).difference < 1e-2


class Twice(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(self.layer(x))


def test_a_layer_that_runs_twice_has_two_kernels(tmp_path):
    torch.manual_seed(0)
    images = torch.randn(2, 4, 8, 8)
    network = Twice(quantized(nn.Conv2d(4, 4, 3, padding=1), 8, 8, images)).eval()
    path, kernels = exported(network, images, tmp_path)
    assert OnnxModule(path).integer_kernels() == kernels == ["layer.0", "layer.0.2"]


@pytest.mark.skipif(not OpenVino().installed(), reason="no OpenVINO")
@pytest.mark.parametrize("channels", [6, 5])  # 48 places are a multiple of 6 and none of 5
def test_openvino_computes_patches_without_bias(channels, tmp_path):
    torch.manual_seed(0)
    images = torch.randn(3, 4, 16, 24)
    layer = nn.Conv2d(4, channels, (2, 4), stride=(2, 4), bias=False)
    network = quantized(layer, 8, 8, images)
    path = exported(network, images, tmp_path, 21)[0]
    with torch.inference_mode():
        expected = network(images)
    assert compare_outputs(expected, OpenVinoModule(path, 0)(images), 0).difference < 1e-3
