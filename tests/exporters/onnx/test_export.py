"""An exported file computes what the model computes, in integers, from few bits."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from torch import nn

from vitquant.config.bits import Bits
from vitquant.config.targets import TARGETS
from vitquant.core.errors import UserError
from vitquant.evaluation.agreement import compare_outputs
from vitquant.exporters.noise_floor import float_matmuls, perturb_accumulation
from vitquant.exporters.onnx.export import to_onnx
from vitquant.exporters.onnx.graph import INT4, INT8
from vitquant.exporters.onnx.lower import lower
from vitquant.exporters.onnx.options import OnnxOptions, choose_opset
from vitquant.exporters.onnx.symbolic_ops import symbolic_ops
from vitquant.exporters.onnx.trace import trace
from vitquant.exporters.runtimes.metadata import read_metadata
from vitquant.exporters.runtimes.ort_runtime import OnnxModule
from vitquant.exporters.runtimes.registry import open_exported
from vitquant.quantization.layers.base import IntLayer
from vitquant.quantization.layers.linear import FakeQuantLinear, IntLinear
from vitquant.quantization.quantizers.grid import grids

WIDTHS = ["w8a8", "w6a7", "w4a4", "w3a3", "w2a2", "w1.58a8"]
OTHERS = ["distilled", "deit3", "swinv2", "clip", "siglip", "dinov2", "eva02", "eva02_base", "beit"]


def logits(model, batch):
    with torch.inference_mode():
        return model.module(batch)


def difference(made, batch):
    """Of the file's outputs and PyTorch's, for all images at once, and for each alone."""
    expected, opened = logits(made.model, batch), open_exported(made.path)
    one_by_one = torch.cat([logits(opened, image[None]) for image in batch])
    assert torch.allclose(logits(opened, batch), one_by_one, atol=1e-5)
    return compare_outputs(expected, one_by_one, made.model.num_classes).difference


def own_difference(model, batch):
    """Of the model and itself, rounded differently in several ways: the largest.

    A sum close to the middle between two levels falls on either side, depending on its last digit,
    and what follows from that is larger than any tolerance for rounding.
    """
    expected, found = logits(model, batch), []
    for seed in range(4):
        with perturb_accumulation(model.module, seed):
            again = logits(model, batch)
        found.append(compare_outputs(expected, again, model.num_classes).difference)
    return max(found)


def integer_kernels(path):
    return OnnxModule(path).integer_kernels()


def all_products(made):
    layers = [m for m in made.model.module.modules() if isinstance(m, IntLayer)]
    return len(layers) + sum(record.count for record in made.header.products)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "bits"),
    [*(("vit", bits) for bits in WIDTHS), ("swin", "w8a8"), ("swin", "w1.58a8")],
)
def test_every_width_is_computed_in_integers(family, bits, exported, batch):
    made = exported(family, bits)
    assert difference(made, batch) < max(1e-5, 2 * own_difference(made.model, batch))
    assert len(integer_kernels(made.path)) == all_products(made)


@pytest.mark.slow
@pytest.mark.parametrize("per_head", [True, False])
@pytest.mark.parametrize("prefix_scales", [True, False])
def test_with_and_without_scales_of_parts(per_head, prefix_scales, exported, batch):
    made = exported("vit", "w4a4", per_head=per_head, prefix_scales=prefix_scales)
    assert difference(made, batch) < max(1e-5, 2 * own_difference(made.model, batch))
    assert len(integer_kernels(made.path)) == all_products(made)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "method", "bits"),
    [  # each two of the three go together once
        ("vit", "rtn", 6), ("distilled", "rtn", 8), ("dinov2", "rtn", 6),
        ("vit", "joint", 8), ("distilled", "joint", 6), ("dinov2", "joint", 8),
    ],
)  # fmt: skip
def test_more_bits_at_class_tokens(family, method, bits, exported, batch):
    made = exported(family, "w4a4", method, prefix_bits=bits)
    assert difference(made, batch) < max(1e-5, 2 * own_difference(made.model, batch))
    assert len(integer_kernels(made.path)) == all_products(made)


@pytest.mark.slow
@pytest.mark.parametrize("family", OTHERS)
def test_every_family_is_computed_in_integers(family, exported, batch):
    made = exported(family)
    assert difference(made, batch) < max(1e-5, 2 * own_difference(made.model, batch))
    assert len(integer_kernels(made.path)) == all_products(made)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "bits"), [("vit", "w3a3"), ("swinv2", "w4a4")])
def test_stored_rescaling(family, bits, exported, batch):
    made = exported(family, bits, "joint")
    assert any(layer.rescaling == "stored" for layer in made.header.layers)
    assert difference(made, batch) < 1e-5
    assert len(integer_kernels(made.path)) == all_products(made)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "bits"), [("vit", "w1.58a16"), ("swin", "w4a16")])
def test_weights_alone(family, bits, exported, batch):
    made = exported(family, bits)
    assert difference(made, batch) < 1e-5
    assert integer_kernels(made.path) == []
    # One opaque node, which later opsets have, few runtimes know.
    assert not any(node.op_type == "Attention" for node in made.graph.graph.node)


@pytest.mark.parametrize(("family", "bits"), [("vit", "w8i16"), ("swin", "w4i16")])
def test_activations_of_16_bit_integers(family, bits, exported, batch):
    made = exported(family, bits)
    own = own_difference(made.model, batch)
    assert difference(made, batch) < 2 * own < 1e-3
    assert made.header.format_version == 6
    assert integer_kernels(made.path) == read_metadata(made.path).integer_kernels == []
    zero_points = [t for t in made.graph.graph.initializer if t.name.endswith(".zero_point")]
    assert len(zero_points) == all_products(made) + sum(r.count for r in made.header.products)
    assert all(t.data_type == TensorProto.INT16 for t in zero_points)
    assert not any(onnx.numpy_helper.to_array(t) for t in zero_points)
    # Weights are integers as ever: hardware that multiplies them finds them behind their Q/DQ.
    name = "layers.0.blocks.0" if family == "swin" else "blocks.0"
    stored = TensorProto.INT8 if bits == "w8i16" else TensorProto.INT4
    assert made.proto(f"{name}.attn.qkv.weight").data_type == stored
    assert made.tensor(f"{name}.attn.qkv.bias").dtype == "float32"


def test_layers_may_have_activations_of_either_kind(exported, quantized, batch):
    mixed = exported("vit", "w8a8", patch_embed_bits="w8i16", head_bits="w4i16")
    assert difference(mixed, batch) < max(1e-5, 2 * own_difference(mixed.model, batch))
    assert len(integer_kernels(mixed.path)) == all_products(mixed) - 2
    assert mixed.header.format_version == 6


@pytest.mark.slow
def test_float_attention(exported, batch):
    made = exported("swin", "w4a4", float_attention=True)
    with float_matmuls(made.model.module):
        assert difference(made, batch) < max(1e-5, 2 * own_difference(made.model, batch))
    names = integer_kernels(made.path)
    assert len(names) == all_products(made) - sum(r.count for r in made.header.products)
    assert not any("products" in name for name in names)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bits", "weight_type", "stored", "opset"),
    [
        ("w8a8", None, TensorProto.INT8, 20),
        ("w6a7", None, TensorProto.INT8, 20),
        ("w4a4", None, TensorProto.INT4, 21),
        ("w3a3", None, TensorProto.INT4, 21),
        ("w2a2", None, TensorProto.INT2, 25),
        ("w1.58a8", None, TensorProto.INT2, 25),
        ("w1.58a8", INT4, TensorProto.INT4, 21),
        ("w1.58a8", INT8, TensorProto.INT8, 20),
        ("w8i16", None, TensorProto.INT8, 21),
    ],
)
def test_the_smallest_type_and_the_lowest_opset(bits, weight_type, stored, opset, exported):
    options = {} if weight_type is None else {"min_weight_type": weight_type}
    made = exported("vit", bits, **options)
    tensor = made.proto("blocks.0.attn.qkv.weight")
    assert tensor.data_type == stored
    per_byte = {TensorProto.INT2: 4, TensorProto.INT4: 2, TensorProto.INT8: 1}[stored]
    layer = made.model.module.blocks[0].attn.qkv
    assert len(tensor.raw_data) == layer.codes.numel() // per_byte
    assert (made.tensor("blocks.0.attn.qkv.weight").astype("int8") == layer.codes.numpy()).all()
    assert [o.version for o in made.graph.opset_import] == [opset]


@pytest.mark.slow
def test_weight_types_compute_the_same(exported, batch):
    narrow, wide = exported("vit", "w1.58a8"), exported("vit", "w1.58a8", min_weight_type=INT4)
    found = [logits(open_exported(made.path), batch) for made in (narrow, wide)]
    assert torch.equal(*found)
    assert len(narrow.path.read_bytes()) < len(wide.path.read_bytes())


def test_activations_have_the_levels_of_the_checkpoint(exported):
    made = exported("vit", "w3a3")
    quantizer = made.model.module.blocks[0].attn.qkv.input
    name = "blocks.0.attn.qkv.input"
    zero_point, high = made.tensor(f"{name}.zero_point"), made.tensor(f"{name}.high")
    assert zero_point.dtype == high.dtype == "uint8"
    assert int(zero_point) == int(quantizer.zero_point)
    assert int(high) == 7  # and below 0, a byte ends


def test_attention_weights_end_where_a_byte_does(exported):
    made = exported("vit", "w4a4", prefix_scales=False)
    quantizer = made.model.module.blocks[0].attn.products[1].left
    name = "blocks.0.attn.products.1.left"
    assert np.array_equal(made.tensor(f"{name}.zero_point"), [255 - 15] * quantizer.heads)
    assert made.tensor(f"{name}.scale").shape == (quantizer.heads,)
    assert not any(node.name == f"{name}/clip" for node in made.graph.graph.node)


def test_float_values_are_clipped_for_other_targets(exported):
    made = exported("vit", "w3a3", target=TARGETS["openvino"])
    quantizer = made.model.module.blocks[0].attn.qkv.input
    name = "blocks.0.attn.qkv.input"
    low, high, scale = (made.tensor(f"{name}.{n}") for n in ("low", "high", "scale"))
    assert round(float((high - low) / scale)) == 7
    assert round(float(low / scale)) == -int(quantizer.zero_point)


def test_biases_are_integers(exported):
    made = exported("vit", "w4a4")
    assert made.tensor("blocks.0.mlp.fc1.bias").dtype == "int32"


def test_what_stays_float_is_half_as_large(exported):
    made = exported("vit", "w4a4")
    assert made.tensor("pos_embed.half").dtype == "float16"


@pytest.mark.slow
@pytest.mark.parametrize(("family", "opset"), [("vit", 22), ("swin", 25)])
def test_a_later_opset(family, opset, exported, batch):
    made = exported(family, "w4a4", opset=opset)
    assert difference(made, batch) < 1e-5


@pytest.mark.parametrize(
    ("bits", "weight_type", "opset", "words"),
    [
        ("w4a4", None, 20, ("20 has no type int4", "21 to 25")),
        ("w1.58a8", None, 24, ("24 has no type int2", "25 to 25", "--weight-type")),
        ("w1.58a8", INT8, 19, ("19", "20 to 25")),
        ("w8i16", None, 20, ("20 has no type int16 for the activations", "21 to 25")),
        ("w1.58i16", None, 21, ("21 has no type int2", "25 to 25", "--weight-type")),
        ("w4a4", None, 26, ("26 is not supported", "21 to 25")),
    ],
)
def test_an_opset_that_cannot_be(bits, weight_type, opset, words, quantized):
    model, _ = quantized("vit", bits)
    options = {} if weight_type is None else {"min_weight_type": weight_type}
    with pytest.raises(UserError) as raised:
        choose_opset(model.module, OnnxOptions(opset=opset, **options))
    assert str(raised.value).startswith("--opset: ")
    assert all(word in str(raised.value) for word in words)


@pytest.mark.slow
def test_the_file_tells_nothing_of_the_machine_it_was_made_on(exported):
    data = exported("swin", "w8a8").path.read_bytes()
    assert b"site-packages" not in data
    assert b".py" not in data


def test_the_model_is_left_as_it_was(exported, batch):
    made = exported("vit", "w4a4")
    before, fused = logits(made.model, batch), fused_attn(made.model.module)
    again = to_onnx(made.model, made.header)
    assert again.SerializeToString() == made.graph.SerializeToString()
    assert fused_attn(made.model.module) == fused
    assert all(getattr(m, "lowering", None) is None for m in made.model.module.modules())
    assert torch.equal(logits(made.model, batch), before)


def test_the_model_is_left_as_it_was_by_an_export_that_fails(exported, batch, monkeypatch):
    def fails(*args, **kwargs):
        raise KeyboardInterrupt

    made = exported("swin", "w8a8")
    before, fused = logits(made.model, batch), fused_attn(made.model.module)
    monkeypatch.setattr(torch.onnx, "export", fails)
    with pytest.raises(KeyboardInterrupt):
        to_onnx(made.model, made.header)
    assert fused_attn(made.model.module) == fused
    assert all(getattr(m, "lowering", None) is None for m in made.model.module.modules())
    assert torch.equal(logits(made.model, batch), before)


def fused_attn(network):
    return [m.fused_attn for m in network.modules() if hasattr(m, "fused_attn")]


def test_a_subclass_is_exported_in_integers_or_refused():
    torch.manual_seed(0)
    learned = FakeQuantLinear(nn.Linear(16, 8), *grids(Bits(4, 8)))
    learned.calibrate(torch.randn(64, 16))
    network = nn.Sequential(learned.requires_grad_(False).convert()).eval()
    network[0].__class__ = type("Derived", (IntLinear,), {})
    with symbolic_ops(network) as modules:
        graph = trace(network, torch.randn(5, 16), {0: "batch"}, 21, "y")
        assert lower(graph, modules, OnnxOptions(INT4)) == ["0"]
    own = {"forward": lambda self, x: x @ self.weight.mT}
    network[0].__class__ = type("Own", (IntLinear,), own)
    with symbolic_ops(network) as modules:
        graph = trace(network, torch.randn(5, 16), {0: "batch"}, 21, "y")
        with pytest.raises(UserError, match="FILE: 0, a Own, would be exported as float"):
            lower(graph, modules, OnnxOptions(INT4))
    network[0].__class__ = type("Other", (IntLayer,), {})
    refused = pytest.raises(UserError, match="FILE: 0 is a Other, which has no form in ONNX")
    with refused, symbolic_ops(network):
        pass
