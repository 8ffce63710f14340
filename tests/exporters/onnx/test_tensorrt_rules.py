"""Each of TensorRT's documented rules, broken by a small graph, and a graph that keeps them all."""

import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from vitquant.exporters.onnx.float16 import to_float16
from vitquant.exporters.onnx.tensorrt_rules import broken_rules
from vitquant.exporters.onnx.tensorrt_rules.__main__ import main

PRODUCT = {
    "scale": np.float32(0.5),
    "zero": np.int8(0),
    "weight": np.arange(-6, 6, dtype=np.int8).reshape(3, 4),
    "weight_scale": np.float32([0.25, 0.5, 1]),
    "zeros": np.zeros(3, np.int8),
    "bias": np.float32([1, 2, 3]),
}


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs.split(), output.split(), name=f"{output}_node", **attributes)


def quantized(zero="zero", scale="scale", **attributes):
    return node("QuantizeLinear", f"x {scale} {zero}", "q", **attributes)


def dequantized(zero="zero", scale="scale", **attributes):
    return node("DequantizeLinear", f"q {scale} {zero}", "dq", **attributes)


WEIGHT = node("DequantizeLinear", "weight weight_scale zeros", "w", axis=0)
GEMM = node("Gemm", "dq w bias", "y", transB=1)
PAIR = [quantized(), dequantized()]


def build(nodes, *constants, opset=20, x=TensorProto.FLOAT, shape=(2, 4), **changed):
    """x → nodes → y."""
    values = PRODUCT | changed
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
    used = {name for n in nodes for name in n.input}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", x, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [t for t in (*tensors, *constants) if t.name in used],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("other", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def int4(name, shape):
    return helper.make_tensor(name, TensorProto.INT4, shape, np.zeros(int(np.prod(shape)), int))


def through(op, inputs="x", **attributes):
    return [node(op, inputs, "y", **attributes)]


BROKEN = {
    "opset 9 to 24": build(through("Relu"), opset=25),
    "an operator that TensorRT supports": build(
        [quantized(), node("MatMulInteger", "q weight", "y")], weight=np.ones((4, 3), np.int8)
    ),
    "operators of ONNX itself": build([node("Relu", "x", "y", domain="other")]),
    "no type int16": build(
        [quantized("wide"), dequantized("wide"), node("Relu", "dq", "y")],
        opset=21,
        wide=np.int16(0),
    ),
    "no type int2": build(
        [node("Cast", "two", "one", to=TensorProto.FLOAT), node("Add", "x one", "y")],
        helper.make_tensor("two", TensorProto.INT2, [4], [0, 0, 0, 0]),
    ),
    "uint8 is a type of inputs and outputs": build(
        [quantized("byte"), dequantized("byte"), node("Relu", "dq", "y")], byte=np.uint8(0)
    ),
    "activations are quantized to int8": build(
        [
            node("QuantizeLinear", "x scale", "q"),
            node("DequantizeLinear", "q scale", "dq"),
            node("Relu", "dq", "y"),
        ]
    ),
    "int8, int4, float8 or float4 is dequantized": build(
        [node("DequantizeLinear", "steps scale", "b"), node("Add", "x b", "y")],
        steps=np.int32([1, 2, 3, 4]),
    ),
    "quantized tensors go into DequantizeLinear only": build(
        [
            *PAIR,
            node("Cast", "four", "wide", to=TensorProto.INT8),
            node("DequantizeLinear", "wide weight_scale zeros", "w", axis=0),
            GEMM,
        ],
        int4("four", [3, 4]),
    ),
    "zero points are 0": build(
        [quantized(), dequantized(), node("Relu", "dq", "y")], zero=np.int8(3)
    ),
    "zero points are constant": build(
        [
            node("Identity", "zero", "z"),
            quantized("z"),
            dequantized("z"),
            node("Relu", "dq", "y"),
        ]
    ),
    "a scale and its zero point have one size": build([*PAIR, WEIGHT, GEMM], zeros=np.int8([0])),
    "scales are constant": build(
        [
            node("ReduceMax", "x", "s", keepdims=0),
            quantized(scale="s"),
            dequantized(scale="s"),
            node("Relu", "dq", "y"),
        ]
    ),
    "scales are positive": build([*PAIR, WEIGHT, GEMM], weight_scale=np.float32([1, 0, 1])),
    "an activation has one scale": build(
        [
            quantized("fours", "four_scales", axis=1),
            dequantized("fours", "four_scales", axis=1),
            node("Relu", "dq", "y"),
        ],
        four_scales=np.ones(4, np.float32),
        fours=np.zeros(4, np.int8),
    ),
    "as many scales as channels": build(
        [*PAIR, node("DequantizeLinear", "weight weight_scale zeros", "w", axis=1), GEMM]
    ),
    "the input of a quantization and its scale have one type": build(
        [*PAIR, WEIGHT, GEMM], x=TensorProto.FLOAT16
    ),
    "scales of weights are those of output channels": build(
        [*PAIR, node("DequantizeLinear", "weight four fours", "w", axis=1), GEMM],
        four=np.ones(4, np.float32),
        fours=np.zeros(4, np.int8),
    ),
    "int4 weights have float activations": build(
        [*PAIR, node("DequantizeLinear", "four weight_scale", "w", axis=0), GEMM],
        int4("four", [3, 4]),
        opset=21,
    ),
    "LayerNormalization has one output": build(
        [node("LayerNormalization", "x gamma", "y mean")], gamma=np.ones(4, np.float32)
    ),
    "ScatterND without a reduction": build(
        through("ScatterND", "x at rows", reduction="add"),
        at=np.int64([[0]]),
        rows=np.ones((1, 4), np.float32),
    ),
    "axes are constant": build(
        [
            node("Shape", "x", "shape"),
            node("ReduceMean", "x shape", "y"),
        ]
    ),
    "Resize without antialiasing": build(
        [helper.make_node("Resize", ["x", "", "sizes"], ["y"], antialias=1, mode="linear")],
        sizes=np.float32([1, 2]),
    ),
    "Resize with mode": build(
        [helper.make_node("Resize", ["x", "", "sizes"], ["y"], mode="cubic")],
        sizes=np.float32([1, 2]),
    ),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_named(rule):
    found = broken_rules(BROKEN[rule])
    assert any(line.startswith(rule) for line in found), found
    # With the node, or the tensor, that breaks it.
    assert all(": " in line for line in found)


KEPT = {
    "product": build([*PAIR, WEIGHT, GEMM]),
    "levels below 8 bits": build(
        [
            node("Clip", "x low high", "clipped"),
            node("QuantizeLinear", "clipped scale zero", "q"),
            dequantized(),
            WEIGHT,
            GEMM,
        ],
        low=np.float32(-4),
        high=np.float32(3.5),
    ),
    "attention": build(
        [
            *PAIR,
            node("QuantizeLinear", "x half zero", "q2"),
            node("DequantizeLinear", "q2 half zero", "dq2"),
            node("Transpose", "dq2", "t", perm=[1, 0]),
            node("MatMul", "dq t", "y"),
        ],
        half=np.float32(0.25),
    ),
    "weights quantized in the graph": build(
        [
            *PAIR,
            node("QuantizeLinear", "float_weight weight_scale zeros", "qw", axis=0),
            node("DequantizeLinear", "qw weight_scale zeros", "w", axis=0),
            GEMM,
        ],
        float_weight=np.ones((3, 4), np.float32),
    ),
    "int4 weights of a float product": build(
        [
            node("DequantizeLinear", "four weight_scale", "w", axis=0),
            node("Gemm", "x w bias", "y", transB=1),
        ],
        int4("four", [3, 4]),
        opset=21,
    ),
}


@pytest.mark.parametrize("form", KEPT)
def test_a_graph_that_keeps_all_rules(form):
    assert broken_rules(KEPT[form]) == []


def test_a_graph_in_float16_keeps_all_rules():
    model = build([*PAIR, WEIGHT, GEMM])
    to_float16(model)
    assert broken_rules(model) == []


def test_as_a_program(tmp_path):
    def run(*arguments):
        command = [sys.executable, "-m", "vitquant.exporters.onnx.tensorrt_rules", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    good, bad = tmp_path / "good.onnx", tmp_path / "bad.onnx"
    onnx.save(KEPT["product"], good)
    onnx.save(BROKEN["zero points are 0"], bad)
    done = run(str(good))
    assert done.returncode == 0
    assert "not run in TensorRT" in done.stdout
    done = run(str(bad))
    assert done.returncode == 1
    assert "zero points are 0: QuantizeLinear q_node" in done.stdout.splitlines()
    done = run(str(tmp_path / "missing.onnx"))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_goes_away_is_no_traceback(tmp_path):
    bad = tmp_path / "bad.onnx"
    onnx.save(BROKEN["zero points are 0"], bad)
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "vitquant.exporters.onnx.tensorrt_rules", str(bad)]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_the_command_names_what_is_no_onnx_file(tmp_path, capsys):
    (tmp_path / "text.onnx").write_text("no graph")
    assert main([str(tmp_path / "text.onnx")]) == 2
    assert "not a readable ONNX file" in capsys.readouterr().err
    assert main([]) == 2
