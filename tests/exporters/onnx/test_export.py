"""An exported file computes what the model computes, in integers, from few bits."""

import pytest
import torch
from onnx import TensorProto

from vitquant.errors import UserError
from vitquant.evaluation.outputs import likeness
from vitquant.exporters.noise_floor import float_products, rounded_differently
from vitquant.exporters.onnx.export import OnnxOptions, choose_opset, to_onnx
from vitquant.exporters.onnx.graph import INT4, INT8
from vitquant.exporters.runtimes.base import open_onnx
from vitquant.exporters.runtimes.ort_runtime import integer_kernels
from vitquant.layers.weight import IntegerWeight

WIDTHS = ["w8a8", "w6a7", "w4a4", "w3a3", "w2a2", "w1.58a8"]
OTHERS = ["distilled", "deit3", "swinv2", "clip", "siglip", "dinov2", "eva02", "eva02_base", "beit"]


def logits(model, batch):
    with torch.inference_mode():
        return model.module(batch)


def difference(made, batch):
    """Of the file's outputs and PyTorch's, for all images at once, and for each alone."""
    expected, opened = logits(made.model, batch), open_onnx(made.path)
    one_by_one = torch.cat([logits(opened, image[None]) for image in batch])
    assert torch.allclose(logits(opened, batch), one_by_one, atol=1e-5)
    return likeness(expected, one_by_one, made.model.num_classes).difference


def own_difference(model, batch):
    """Of the model and itself, rounded differently in several ways: the largest.

    A sum close to the middle between two levels falls on either side, depending on its last digit,
    and what follows from that is larger than any tolerance for rounding.
    """
    expected, found = logits(model, batch), []
    for seed in range(4):
        with rounded_differently(model.module, seed):
            again = logits(model, batch)
        found.append(likeness(expected, again, model.num_classes).difference)
    return max(found)


def all_products(made):
    layers = [m for m in made.model.module.modules() if isinstance(m, IntegerWeight)]
    return len(layers) + sum(record.count for record in made.header.products)


@pytest.mark.parametrize(
    ("family", "bits"),
    [*(("vit", bits) for bits in WIDTHS), ("swin", "w8a8"), ("swin", "w1.58a8")],
)
def test_every_width_is_computed_in_integers(family, bits, exported, batch):
    made = exported(family, bits)
    assert difference(made, batch) < max(1e-5, 2 * own_difference(made.model, batch))
    assert len(integer_kernels(made.path)) == all_products(made)


@pytest.mark.parametrize("per_head", [True, False])
@pytest.mark.parametrize("prefix_scales", [True, False])
def test_with_and_without_scales_of_parts(per_head, prefix_scales, exported, batch):
    made = exported("vit", "w4a4", per_head=per_head, prefix_scales=prefix_scales)
    assert difference(made, batch) < max(1e-5, 2 * own_difference(made.model, batch))
    assert len(integer_kernels(made.path)) == all_products(made)


@pytest.mark.parametrize("family", ["vit", "distilled", "dinov2"])
@pytest.mark.parametrize("method", ["rtn", "joint"])
@pytest.mark.parametrize("bits", [6, 8])
def test_more_bits_at_class_tokens(bits, method, family, exported, batch):
    made = exported(family, "w4a4", method, prefix_bits=bits)
    assert difference(made, batch) < max(1e-5, 2 * own_difference(made.model, batch))
    assert len(integer_kernels(made.path)) == all_products(made)


@pytest.mark.parametrize("family", OTHERS)
def test_every_family_is_computed_in_integers(family, exported, batch):
    made = exported(family)
    assert difference(made, batch) < max(1e-5, 2 * own_difference(made.model, batch))
    assert len(integer_kernels(made.path)) == all_products(made)


@pytest.mark.parametrize("family", ["vit", "swinv2"])
def test_stored_rescaling(family, exported, batch):
    made = exported(family, "w4a4", "joint")
    assert any(layer.rescaling == "stored" for layer in made.header.layers)
    assert difference(made, batch) < 1e-5
    assert len(integer_kernels(made.path)) == all_products(made)


@pytest.mark.parametrize(("family", "bits"), [("vit", "w1.58a16"), ("swin", "w4a16")])
def test_weights_alone(family, bits, exported, batch):
    made = exported(family, bits)
    assert difference(made, batch) < 1e-5
    assert integer_kernels(made.path) == []
    # One opaque node, which later opsets have, few runtimes know.
    assert not any(node.op_type == "Attention" for node in made.graph.graph.node)


def test_float_attention(exported, batch):
    made = exported("swin", "w4a4", float_attention=True)
    with float_products(made.model.module):
        assert difference(made, batch) < max(1e-5, 2 * own_difference(made.model, batch))
    names = integer_kernels(made.path)
    assert len(names) == all_products(made) - sum(r.count for r in made.header.products)
    assert not any("products" in name for name in names)


@pytest.mark.parametrize(
    ("bits", "container", "stored", "opset"),
    [
        ("w8a8", None, TensorProto.INT8, 20),
        ("w6a7", None, TensorProto.INT8, 20),
        ("w4a4", None, TensorProto.INT4, 21),
        ("w3a3", None, TensorProto.INT4, 21),
        ("w2a2", None, TensorProto.INT2, 25),
        ("w1.58a8", None, TensorProto.INT2, 25),
        ("w1.58a8", INT4, TensorProto.INT4, 21),
        ("w1.58a8", INT8, TensorProto.INT8, 20),
    ],
)
def test_the_smallest_container_and_the_lowest_opset(bits, container, stored, opset, exported):
    options = {} if container is None else {"narrowest": container}
    made = exported("vit", bits, **options)
    tensor = made.proto("blocks.0.attn.qkv.weight")
    assert tensor.data_type == stored
    per_byte = {TensorProto.INT2: 4, TensorProto.INT4: 2, TensorProto.INT8: 1}[stored]
    layer = made.model.module.blocks[0].attn.qkv
    assert len(tensor.raw_data) == layer.codes.numel() // per_byte
    assert (made.tensor("blocks.0.attn.qkv.weight").astype("int8") == layer.codes.numpy()).all()
    assert [o.version for o in made.graph.opset_import] == [opset]


def test_containers_compute_the_same(exported, batch):
    narrow, wide = exported("vit", "w1.58a8"), exported("vit", "w1.58a8", narrowest=INT4)
    found = [logits(open_onnx(made.path), batch) for made in (narrow, wide)]
    assert torch.equal(*found)
    assert len(narrow.path.read_bytes()) < len(wide.path.read_bytes())


def test_activations_have_the_levels_of_the_checkpoint(exported):
    made = exported("vit", "w3a3")
    quantizer = made.model.module.blocks[0].attn.qkv.input
    name = "blocks.0.attn.qkv.input"
    low, high, scale = (made.tensor(f"{name}.{n}") for n in ("low", "high", "scale"))
    assert round(float((high - low) / scale)) == 7
    assert round(float(low / scale)) == -int(quantizer.zero_point)
    assert made.tensor(f"{name}.zero_point").dtype == "uint8"


def test_biases_are_integers(exported):
    made = exported("vit", "w4a4")
    assert made.tensor("blocks.0.mlp.fc1.bias").dtype == "int32"


def test_what_stays_float_is_half_as_large(exported):
    made = exported("vit", "w4a4")
    assert made.tensor("pos_embed.half").dtype == "float16"


@pytest.mark.parametrize("opset", [22, 25])
def test_a_later_opset(opset, exported, batch):
    made = exported("swin", "w4a4", opset=opset)
    assert difference(made, batch) < 1e-5


@pytest.mark.parametrize(
    ("bits", "narrowest", "opset", "words"),
    [
        ("w4a4", None, 20, ("20 has no type int4", "21 to 25")),
        ("w1.58a8", None, 24, ("24 has no type int2", "25 to 25", "--container")),
        ("w1.58a8", INT8, 19, ("19", "20 to 25")),
        ("w4a4", None, 26, ("26 is not supported", "21 to 25")),
    ],
)
def test_an_opset_that_cannot_be(bits, narrowest, opset, words, quantized):
    model, _ = quantized("vit", bits)
    options = {} if narrowest is None else {"narrowest": narrowest}
    with pytest.raises(UserError) as raised:
        choose_opset(model.module, OnnxOptions(opset=opset, **options))
    assert str(raised.value).startswith("--opset: ")
    assert all(word in str(raised.value) for word in words)


def test_the_file_tells_nothing_of_the_machine_it_was_made_on(exported):
    data = exported("swin", "w4a4").path.read_bytes()
    assert b"site-packages" not in data
    assert b".py" not in data


def test_the_model_is_left_as_it_was(quantized, batch):
    model, header = quantized("vit", "w4a16")
    before = logits(model, batch)
    kinds = [type(m) for m in model.module.modules()]
    first, again = (to_onnx(model, header) for _ in range(2))
    assert [type(m) for m in model.module.modules()] == kinds
    assert torch.equal(logits(model, batch), before)
    assert first.SerializeToString() == again.SerializeToString()
