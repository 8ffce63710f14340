"""Files for TensorRT: its documented rules, a float16 rest, and what they compute."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto

from vitquant.config.targets import TARGETS
from vitquant.exporters.onnx.graph import INT8
from vitquant.exporters.onnx.tensorrt_rules import broken_rules

TENSORRT = TARGETS["tensorrt"]


@pytest.fixture
def written(exported):
    """written(family, bits, **options) → Exported, for TensorRT."""

    def make(family="vit", bits="w8a8", **options):
        return exported(family, bits, target=TENSORRT, min_weight_type=INT8, **options)

    return make


def outputs(export, images):
    session = onnxruntime.InferenceSession(str(export.path), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images.numpy()})[0]


@pytest.mark.parametrize("rest", ["float32", "float16"])
@pytest.mark.parametrize("bits", ["w8a8", "w4a4"])
def test_a_vit_keeps_the_rules(written, bits, rest):
    assert broken_rules(written(bits=bits, rest=rest).graph) == []


@pytest.mark.parametrize("rest", ["float32", "float16"])
def test_a_swin_keeps_the_rules(written, rest):
    assert broken_rules(written("swin", rest=rest).graph) == []


def test_the_form_of_other_targets_breaks_them(exported):
    found = broken_rules(exported("vit", "w8a8", per_head=False, prefix_scales=False).graph)
    rules = {line.split(":")[0] for line in found}
    assert "zero points are 0" in rules
    assert any(rule.startswith("uint8 is a type") for rule in rules)


def test_the_default_rest_is_float16(written):
    graph = written().graph
    assert written(rest="float16").graph == graph
    halves = [t for t in graph.graph.initializer if t.data_type == TensorProto.FLOAT16]
    assert any("norm" in t.name for t in halves)
    assert any("bias" in t.name for t in halves)


def test_levels_below_8_bits_are_clipped_as_floats(written):
    graph = written(bits="w4a4", rest="float32").graph.graph
    quantized = [n for n in graph.node if n.op_type == "QuantizeLinear"]
    producer = {name: n.op_type for n in graph.node for name in n.output}
    others = [n.name for n in quantized if producer[n.input[0]] != "Clip"]
    # Patches have 8 bits.
    assert others == ["patch_embed.proj.input/quantize"]


@pytest.mark.parametrize("rest", ["float32", "float16"])
@pytest.mark.parametrize("family", ["vit", "swin"])
def test_it_computes_what_the_model_computes(written, batch, family, rest):
    export = written(family, rest=rest)
    with torch.inference_mode():
        expected = export.model.module(batch).numpy()
    difference = outputs(export, batch) - expected
    assert np.sqrt(np.mean(difference**2)) < 0.1 * expected.std()


def test_preprocessing_stays_float32(written):
    graph = onnx.shape_inference.infer_shapes(written(raw_images=True, rest="float16").graph).graph
    types = {v.name: v.type.tensor_type.elem_type for v in graph.value_info}
    products = [n for n in graph.node if n.op_type == "MatMul" and "products" not in n.name]
    # The two of a resize; the model's own are those of attention.
    assert len(products) == 2
    assert {types[n.output[0]] for n in products} == {TensorProto.FLOAT}
