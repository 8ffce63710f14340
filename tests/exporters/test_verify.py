"""A file is run beside the model, and a wrong one does not pass."""

import dataclasses

import onnx
import pytest
import torch

from vitquant.core.errors import CheckFailedError
from vitquant.evaluation.agreement import OutputAgreement, compare_outputs
from vitquant.exporters.noise_floor import perturb_accumulation
from vitquant.exporters.onnx.graph import INT4
from vitquant.exporters.runtimes import openvino_runtime
from vitquant.exporters.runtimes.registry import open_exported
from vitquant.exporters.verify import verify
from vitquant.quantization.layers.base import IntLayer


@pytest.fixture
def verified(make_small, pictures, tmp_path, monkeypatch):
    """verified(exported, spoil, …) → the verification of the file, after ``spoil(graph)``."""
    monkeypatch.setattr(openvino_runtime.OpenVino, "installed", lambda self: False)

    def run(made, spoil=None, min_agreement=None, family="vit"):
        graph = onnx.ModelProto()
        graph.CopyFrom(made.graph)
        if spoil is not None:
            spoil(graph.graph)
        path = tmp_path / "file.onnx"
        path.write_bytes(graph.SerializeToString())
        before = make_small(family)
        return verify(path, made.model, 1, pictures, before, min_agreement)

    return run


def test_a_good_file_passes(exported, verified):
    made = exported("vit", "w4a4")
    found = verified(made)
    found.check()
    assert found.agreement == 1.0
    assert found.exported[0].outputs.difference < 1e-5
    assert len(found.expected) == 14
    assert found.in_float == []
    assert found.exported[0].bytes == len(made.graph.SerializeToString())
    assert all(run.milliseconds > 0 for run in (*found.compared, *found.exported))
    assert found.compared[0].outputs is not None


def test_a_product_that_falls_back_is_named(exported, verified):
    def spoil(graph):
        # Without its zero point, a weight is multiplied in float by ONNX Runtime.
        node = next(n for n in graph.node if n.name == "blocks.1.mlp.fc1/weight")
        del node.input[2]

    found = verified(exported("vit", "w4a4"), spoil)
    assert found.in_float == ["blocks.1.mlp.fc1"]
    with pytest.raises(CheckFailedError, match=r"1 of 14 matmuls run in float.*blocks\.1\.mlp"):
        found.check()


def test_a_file_that_computes_something_else(exported, verified):
    def spoil(graph):
        tensor = next(t for t in graph.initializer if t.name == "head.weight_scale")
        values = -onnx.numpy_helper.to_array(tensor)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))

    found = verified(exported("vit", "w4a4"), spoil)
    assert found.min_agreement == pytest.approx(found.self_agreement.agreement - 0.25)
    with pytest.raises(CheckFailedError, match="--min-agreement: exported, ONNX Runtime agrees"):
        found.check()


def test_outputs_that_differ_by_much(exported, verified):
    def spoil(graph):
        tensor = next(t for t in graph.initializer if t.name == "head.weight_scale")
        values = 1.5 * onnx.numpy_helper.to_array(tensor)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))

    with pytest.raises(CheckFailedError, match="outputs: exported, ONNX Runtime differs"):
        verified(exported("vit", "w4a4"), spoil, min_agreement=0.0).check()


def test_the_bound_that_was_asked_for(exported, verified):
    found = verified(exported("vit", "w4a4"), min_agreement=1.0)
    found.check()
    worse = dataclasses.replace(found.exported[0].outputs, agreement=0.99)
    run = dataclasses.replace(found.exported[0], outputs=worse)
    with pytest.raises(CheckFailedError, match=r"99\.0% of 8 images, below 100\.0%"):
        dataclasses.replace(found, exported=[run]).check()


def test_nan_and_infinity_never_pass(exported, verified):
    found = verified(exported("vit", "w4a4"), min_agreement=0.0)
    broken = OutputAgreement(0.0, float("inf"))
    run = dataclasses.replace(found.exported[0], outputs=broken)
    with pytest.raises(CheckFailedError, match="outputs: some of exported, ONNX Runtime are NaN"):
        dataclasses.replace(found, exported=[run]).check()
    with pytest.raises(CheckFailedError, match="the quantized model in PyTorch are NaN"):
        dataclasses.replace(found, exported=[run], self_agreement=broken).check()


def test_a_broken_rule_of_a_target_whose_runtime_is_not_here(exported, verified):
    found = verified(exported("vit", "w4a4"))
    lines = [f"zero points are 0: QuantizeLinear {i}" for i in range(4)]
    with pytest.raises(CheckFailedError, match=r"rules of the target: .*Linear 0; .*; …"):
        dataclasses.replace(found, broken_rules=lines).check()
    # That it is fast elsewhere is not asked for.
    run = dataclasses.replace(found.exported[0], in_float=["head"])
    dataclasses.replace(found, exported=[run], broken_rules=[]).check()


@pytest.mark.slow
def test_float_attention_is_compared_with_float_attention(exported, verified):
    found = verified(exported("vit", "w4a4", float_attention=True))
    found.check()
    assert found.exported[0].outputs.difference < 1e-5


def test_a_model_without_a_classifier(exported, verified):
    found = verified(exported("siglip", "w4a4"), family="siglip")
    found.check()
    assert found.agreement is None
    assert found.exported[0].outputs.difference < 1e-5


def test_the_noise_floor_is_the_model_with_other_rounding(quantized, batch):
    model, _ = quantized("vit", "w4a4")
    layers = [m for m in model.module.modules() if isinstance(m, IntLayer)]
    for layer in layers:
        layer.bias.mul_(1.01)
    biases = [layer.bias for layer in layers]
    with torch.inference_mode():
        before = model.module(batch)
        with perturb_accumulation(model.module):
            other = model.module(batch)
        assert torch.equal(model.module(batch), before)
    assert not torch.equal(other, before)
    assert (other - before).square().mean().sqrt() < 0.3 * before.std()
    assert all(layer.bias is bias for layer, bias in zip(layers, biases, strict=True))


@pytest.mark.slow
@pytest.mark.skipif(not openvino_runtime.OpenVino().installed(), reason="no OpenVINO")
@pytest.mark.parametrize("bits", ["w8a8", "w4a4", "w1.58a8"])
def test_openvino_computes_it_too(bits, exported, pictures, make_small):
    made = exported("vit", bits, min_weight_type=INT4)
    found = verify(made.path, made.model, 1, pictures, make_small("vit"))
    found.check()
    assert [run.name for run in found.exported] == ["exported, ONNX Runtime", "exported, OpenVINO"]
    note = "OpenVINO runs 10 of 10 layers on integer kernels, and 0 attentions as one each"
    assert note in found.notes


@pytest.mark.skipif(not openvino_runtime.OpenVino().installed(), reason="no OpenVINO")
def test_openvino_computes_stored_rescaling(exported, batch):
    made = exported("vit", "w3a3", "joint")
    assert any(layer.rescaling == "stored" for layer in made.header.layers)
    with torch.inference_mode():
        expected = made.model.module(batch)
        found = open_exported(made.path, "openvino").module(batch)
    assert compare_outputs(expected, found, 10).difference < 1e-5


@pytest.mark.skipif(not openvino_runtime.OpenVino().installed(), reason="no OpenVINO")
def test_openvino_has_no_integers_of_two_bits(exported, pictures, make_small):
    made = exported("vit", "w1.58a8")
    found = verify(made.path, made.model, 1, pictures, make_small("vit"))
    found.check()
    assert len(found.exported) == 1
    assert "--weight-type int4" in found.notes[0]
