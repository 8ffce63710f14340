"""Which layer a node of the optimized graph belongs to, and what is left over."""

import tempfile
from pathlib import Path

import onnx
import pytest
import torch
from onnx.helper import make_node

from vitquant.config.targets import TARGETS
from vitquant.exporters.runtimes import layer_times as module
from vitquant.exporters.runtimes.layer_times import OTHER, layer_times, layers_of_nodes
from vitquant.exporters.runtimes.ort_runtime import NodeRuns, OnnxModule

slow = pytest.mark.slow


def labels(made) -> set[str]:
    """Layers and attention matmuls."""
    products = made.header.products
    matmuls = {f"{p.name}.products.{i}" for p in products for i in range(p.count)}
    return matmuls | {layer.name for layer in made.header.layers}


def test_times_of_a_file(exported, batch, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = exported("vit", "w4a4")
    found = layer_times(made.path, sorted(labels(made)), batch, runs=2)
    assert list(found) == [*sorted(labels(made)), OTHER]
    assert all(seconds >= 0 for seconds in found.values())
    assert sum(found.values()) > 0
    assert list(tmp_path.iterdir()) == []


@slow
def test_times_of_a_file_with_float_attention(exported, batch):
    made = exported("vit", "w8a8", float_attention=True)
    found = layer_times(made.path, sorted(labels(made)), batch, runs=2)
    assert found.keys() == {*labels(made), OTHER}
    assert "blocks.1.attn.products.1" in found


@pytest.mark.parametrize(
    ("family", "bits", "options"),
    [
        ("vit", "w4a4", {}),
        pytest.param("vit", "w8a8", {"float_attention": True}, marks=slow),
        pytest.param("vit", "w4a4", {"target": TARGETS["openvino"]}, marks=slow),
        pytest.param("vit", "w8a8", {"target": TARGETS["tensorrt"]}, marks=slow),
        pytest.param("vit", "w8a8", {"rest": "float16"}, marks=slow),
        pytest.param("swin", "w8a8", {}, marks=slow),
        pytest.param("distilled", "w4a4", {"prefix_bits": 8}, marks=slow),
    ],
    ids=str,
)
def test_no_layer_and_no_quantization_is_left_over(exported, tmp_path, family, bits, options):
    made = exported(family, bits, **options)
    path = tmp_path / "optimized.onnx"
    OnnxModule(made.path, optimized_model_filepath=str(path))
    nodes = onnx.load(path).graph.node
    found = layers_of_nodes(nodes, sorted(labels(made)))
    assert set(found.values()) == labels(made)
    left = {node.op_type for node in nodes if node.name not in found}
    assert not left & {"QuantizeLinear", "DequantizeLinear", "QGemm", "ScatterND"}
    assert {"LayerNormalization", "Add"} <= left


def test_the_longest_name_counts():
    names = ["head", "head.fc", "blocks.1"]
    of = {
        "head": "head",
        "head.2": "head",
        "head.fc/add_bias": "head.fc",
        "blocks.1/MatMulScaleFusion/": "blocks.1",
    }
    others = ["blocks.10", "node_head", ""]
    nodes = [make_node("Add", ["a", "b"], ["c"], name=name) for name in [*of, *others]]
    assert layers_of_nodes(nodes, names) == of


def test_a_moved_quantization_is_of_the_layer_that_it_leads_to():
    nodes = [
        make_node("Add", ["in", "in"], ["x"], name="add"),
        make_node("QuantizeLinear", ["x", "scale"], ["q"], name="x_q"),
        make_node("Transpose", ["q"], ["t"], name="move"),
        make_node("QGemm", ["t", "scale"], ["y"], name="fc"),
        make_node("QuantizeLinear", ["y", "scale"], ["last"], name="y_q"),
    ]
    assert layers_of_nodes(nodes, ["fc"]) == {"x_q": "fc", "fc": "fc"}


@pytest.fixture
def profiled(monkeypatch):
    """profiled(fastest): nodes of a made profile beside a run without a profiler."""
    runs = {"fc": [5.0, 4.0], "fc.input/quantize": [3.0, 2.0], "softmax": [6.0, 9.0]}

    def profile(path, images, count, optimized_model_filepath, **options):
        assert options == {"intra_op_num_threads": 1}
        nodes = [make_node("Gemm", ["a"], ["b"], name=name) for name in runs]
        graph = onnx.helper.make_graph(nodes, "made", [], [])
        onnx.save(onnx.helper.make_model(graph), optimized_model_filepath)
        return [NodeRuns(name, "Gemm", seconds) for name, seconds in runs.items()]

    def make(fastest: float) -> dict[str, float]:
        monkeypatch.setattr(module, "profile_nodes", profile)
        monkeypatch.setattr(module, "_fastest", lambda *_: fastest)
        return layer_times(Path("x.onnx"), ["fc", "gone"], torch.zeros(2, 3, 4, 4))

    return make


def test_the_profiler_is_taken_off_each_node(profiled):
    # 12 seconds with the profiler and 9 without are 1 for each of three nodes; of two images.
    assert profiled(9.0) == {"fc": (3 + 1) / 2, "gone": 0, OTHER: 5 / 2}


def test_no_node_takes_less_than_nothing(profiled):
    assert profiled(0.0) == {"fc": 0, "gone": 0, OTHER: 2 / 2}
    # Where the run without it was disturbed, nothing is taken off.
    assert profiled(20.0) == {"fc": 6 / 2, "gone": 0, OTHER: 6 / 2}
