"""A file is written for its target, and a checkpoint that the target cannot take is refused."""

import numpy as np
import pytest
import torch
from onnx import TensorProto

from vitquant.config.targets import TARGETS
from vitquant.core.errors import UserError
from vitquant.evaluation.agreement import compare_outputs
from vitquant.exporters.onnx.export import to_onnx
from vitquant.exporters.onnx.options import OnnxOptions, choose_weight_type
from vitquant.exporters.runtimes import openvino_runtime
from vitquant.exporters.runtimes.metadata import read_metadata
from vitquant.exporters.runtimes.openvino_runtime import OpenVinoModule
from vitquant.exporters.runtimes.ort_runtime import OnnxModule
from vitquant.quantization.quantizers.grid import PrefixFormat

ONNXRUNTIME, OPENVINO, TENSORRT = (TARGETS[n] for n in ("onnxruntime", "openvino", "tensorrt"))
HAS_OPENVINO = openvino_runtime.OpenVino().installed()


@pytest.mark.parametrize("bits", ["w8a8", "w4a4"])
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_file_for_a_target_computes_what_the_model_computes(target, bits, exported, batch):
    narrowest = choose_weight_type(None, target, "--weight-type")
    made = exported("vit", bits, target=target, min_weight_type=narrowest, rest="float32")
    with torch.inference_mode():
        expected = made.model.module(batch)
    found = OnnxModule(made.path, 10)(batch)
    # A step of 8 bits now and then: sums are added up in another order.
    assert compare_outputs(expected, found, 10).difference < 5e-3
    assert read_metadata(made.path).settings["target"] == target.name


@pytest.mark.skipif(not HAS_OPENVINO, reason="no OpenVINO")
@pytest.mark.parametrize("bits", ["w8a8", "w4a4"])
def test_openvino_computes_whole_attentions_in_integers(bits, exported, batch):
    made = exported("vit", bits, target=OPENVINO)
    module = OpenVinoModule(made.path, 10)
    attentions = [n for n, _ in made.model.module.named_modules() if n.endswith(".attn")]
    assert module.integer_attentions() == len(attentions)
    with torch.inference_mode():
        expected = made.model.module(batch)
    assert compare_outputs(expected, module(batch), 10).difference < 1e-5


@pytest.mark.skipif(not HAS_OPENVINO, reason="no OpenVINO")
def test_with_other_zero_points_it_does_not(exported):
    made = exported("vit", "w8a8", prefix_scales=False, per_head=False)
    assert OpenVinoModule(made.path, 10).integer_attentions() == 0


def test_symmetric_activations_are_signed_around_zero(exported):
    made = exported("vit", "w4a4", target=OPENVINO)
    name = "blocks.0.attn.products"
    for operand in ("0.left", "0.right", "1.right"):
        zero_point = made.tensor(f"{name}.{operand}.zero_point")
        assert zero_point.dtype == np.int8
        assert zero_point == 0
    assert made.tensor(f"{name}.1.left.zero_point").dtype == np.uint8  # the output of softmax
    assert made.tensor("blocks.0.attn.qkv.input.zero_point").dtype == np.uint8


def refusal(model, header):
    with pytest.raises(
        UserError, match=r"quantize the model again with --target openvino"
    ) as error:
        to_onnx(model, header, OnnxOptions(target=OPENVINO))
    return str(error.value)


@pytest.mark.parametrize("per_head", [False, True])
def test_a_checkpoint_for_another_target_is_refused(per_head, exported):
    made = exported("vit", "w4a4", prefix_scales=False, per_head=per_head)
    found = refusal(made.model, made.header)
    assert "the zero point of blocks.0.attn.products.0.left is not 0" in found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"heads": 3}, "the heads of blocks.0.attn.products.1.left have scales"),
        ({"prefix": PrefixFormat(1)}, "class tokens in blocks.0.attn.products.1.left have scales"),
    ],
)
def test_so_are_scales_of_parts(change, words, exported, monkeypatch):
    made = exported("vit", "w4a4", target=OPENVINO)
    quantizer = made.model.module.blocks[0].attn.products[1].left
    for name, value in change.items():
        monkeypatch.setattr(quantizer, name, value)
    assert words in refusal(made.model, made.header)


def test_onnxruntime_takes_every_checkpoint(exported, batch):
    made = exported("vit", "w4a4", target=OPENVINO)
    graph = to_onnx(made.model, made.header, OnnxOptions(target=ONNXRUNTIME))
    types = {t.data_type for t in graph.graph.initializer if t.name.endswith("left.zero_point")}
    assert types == {TensorProto.UINT8}


def test_the_narrowest_type_that_a_target_has():
    assert choose_weight_type(None, OPENVINO, "--weight-type").name == "int4"
    with pytest.raises(
        UserError, match=r"--weight-type: OpenVINO has no type int2; accepted: int4"
    ):
        choose_weight_type("int2", OPENVINO, "--weight-type")


def test_the_highest_opset_is_the_targets(exported):
    made = exported("vit", "w8a8", target=TENSORRT)
    with pytest.raises(UserError, match=r"--opset: 25 is not supported"):
        to_onnx(made.model, made.header, OnnxOptions(target=TENSORRT, opset=25))
