"""A graph whose rest is float16."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from vitquant.exporters.onnx.float16 import to_float16


def outputs(model, images):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"images": images})[0]


def product(scale):
    """images (2, 4) float32 → Clip → Q/DQ → Gemm with int8 weights and a bias → Gelu."""
    constants = {
        "low": np.float32(-1),
        "high": np.float32(1),
        "scale": np.float32(scale),
        "zero": np.int8(0),
        "weight": np.arange(-6, 6, dtype=np.int8).reshape(3, 4),
        "weight_scale": np.float32([0.25, 0.5, 1]),
        "zeros": np.zeros(3, np.int8),
        "bias": np.float32([1, 2, 3]),
    }
    nodes = [
        helper.make_node("Clip", ["images", "low", "high"], ["x"], "clip"),
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], "quantize"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"], "dequantize"),
        helper.make_node(
            "DequantizeLinear", ["weight", "weight_scale", "zeros"], ["w"], "weights", axis=0
        ),
        helper.make_node("Gemm", ["dq", "w", "bias"], ["y"], "product", transB=1),
        helper.make_node("Gelu", ["y"], ["logits"], "gelu"),
    ]
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [2, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [2, 3])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def types(model):
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    known = {value.name: value.type.tensor_type.elem_type for value in inferred.value_info}
    known |= {value.name: value.type.tensor_type.elem_type for value in inferred.output}
    return {node.name: known[node.output[0]] for node in inferred.node} | {
        tensor.name: tensor.data_type for tensor in inferred.initializer
    }


IMAGES = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)


def test_what_is_between_products_is_float16():
    before, model = product(0.0078125), product(0.0078125)
    to_float16(model)
    onnx.checker.check_model(model, full_check=True)
    found = types(model)
    for name in ("clip", "dequantize", "weights", "product", "gelu", "scale", "weight_scale"):
        assert found[name] == TensorProto.FLOAT16, name
    assert found["bias"] == TensorProto.FLOAT16
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert model.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert [node.op_type for node in model.graph.node].count("Cast") == 2
    np.testing.assert_allclose(outputs(model, IMAGES), outputs(before, IMAGES), rtol=2e-3)


def test_a_product_whose_scale_float16_cannot_hold_stays_float32():
    before, model = product(1e-5), product(1e-5)
    to_float16(model)
    onnx.checker.check_model(model, full_check=True)
    found = types(model)
    for name in ("dequantize", "weights", "product", "scale", "weight_scale", "bias"):
        assert found[name] == TensorProto.FLOAT, name
    for name in ("clip", "gelu"):
        assert found[name] == TensorProto.FLOAT16, name
    np.testing.assert_allclose(
        outputs(model, IMAGES / 1000), outputs(before, IMAGES / 1000), rtol=2e-3, atol=1e-2
    )


@pytest.mark.parametrize("op", ["Pow", "ReduceSum"])
def test_what_may_overflow_stays_float32(op):
    inputs = ["images", "exponent"] if op == "Pow" else ["images"]
    constants = [numpy_helper.from_array(np.float32(2), "exponent")] if op == "Pow" else []
    graph = helper.make_graph(
        [
            helper.make_node(op, inputs, ["y"], "sum"),
            helper.make_node("Sqrt", ["y"], ["logits"], "root"),
        ],
        "sum",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [2, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    to_float16(model)
    assert types(model)["sum"] == TensorProto.FLOAT


def test_a_small_model_agrees_with_its_float32_form(exported, batch):
    export = exported("vit", "w8a8", per_head=False, prefix_scales=False)
    model = onnx.ModelProto()
    model.CopyFrom(export.graph)
    to_float16(model)
    onnx.checker.check_model(model, full_check=True)
    expected = outputs(export.graph, batch.numpy())
    difference = outputs(model, batch.numpy()) - expected
    assert np.sqrt(np.mean(difference**2)) < 0.05 * expected.std()
