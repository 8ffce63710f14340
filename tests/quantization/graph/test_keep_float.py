"""What patterns take out of the points of a network."""

import pytest
import torch
from torch import nn

from vitquant.core.errors import UserError
from vitquant.quantization.graph.keep_float import is_kept, keep_float
from vitquant.quantization.graph.points import check_supported, example_inputs, find_points
from vitquant.quantization.ptq.bit_assignment import assign_bits
from vitquant.workflows.ptq import quantize


def points_of(model):
    return find_points(model.module, example_inputs(model.input_size), model.tokens)


def names(points):
    return [point.name for point in points.layers]


def test_a_pattern_names_a_module_and_all_in_it(make_small):
    before = points_of(make_small("vit"))
    for pattern in ("blocks.0", "blocks.0.*", "*.0.*"):
        after = keep_float(before, [pattern], "--keep-float")
        assert set(names(before)) - set(names(after)) == {
            f"blocks.0.{layer}" for layer in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
        }
        assert after.attentions == ("blocks.1.attn",)
        assert "blocks.0.attn.products" in after.kept
        assert after.blocks == before.blocks  # their outputs still are features


def test_matmuls_have_a_name_of_their_own(make_small):
    before = points_of(make_small("vit"))
    after = keep_float(before, ["*.products"], "--keep-float")
    assert names(after) == names(before)
    assert not after.matmuls
    assert after.kept == ("blocks.0.attn.products", "blocks.1.attn.products")
    assert keep_float(before, ["blocks.0.attn.qkv"], "--keep-float").matmuls == before.matmuls


def test_the_next_layer_is_no_patch_embedding(make_small, settings):
    model = make_small("vit")
    assignment = settings("w4a4").assignment
    points = points_of(model)
    assert assign_bits(assignment, (), points).layers["patch_embed.proj"] == assignment.patch_embed
    kept = keep_float(points, ["patch_embed"], "--keep-float")
    assert set(assign_bits(assignment, (), kept).layers.values()) == {assignment.bits}


def test_a_pattern_that_names_nothing_is_refused(make_small):
    points = points_of(make_small("vit"))
    for pattern in ("norm", "blocks.0.attn.qvk", "", "blocks.0.norm1"):
        with pytest.raises(UserError, match=r"^keep_float: '.*' names no layer.*such as"):
            keep_float(points, ["blocks.0", pattern], "keep_float")


def test_unsupported_parts_under_a_pattern_are_asked_for(wrapped):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 4, 2), nn.Conv2d(4, 4, 1))
    points = points_of(wrapped(network.eval()))
    with pytest.raises(UserError, match=r"^--allow-float: ConvTranspose2d \(1\) .*--keep-float"):
        check_supported(network, points)
    kept = keep_float(points, ["1"], "--keep-float")
    check_supported(network, kept)
    assert (names(kept), kept.kept, kept.unsupported) == (["0", "2"], ("1",), {})


@pytest.mark.parametrize("changes", [{"rotate": True}, {"method": "joint"}, {"method": "block"}])
def test_a_kept_part_is_the_float_models(changes, make_small, images, batch, settings):
    model = make_small("vit")
    method = changes.pop("method", "rtn")
    chosen = settings("w8a8", method, keep_float="blocks.0,head", **changes)
    quantized = quantize(model, images, chosen)
    assert set(quantized.header.unreached) == {
        "blocks.0.attn.qkv", "blocks.0.attn.proj", "blocks.0.mlp.fc1", "blocks.0.mlp.fc2",
        "blocks.0.attn.products", "head",
    }  # fmt: skip
    assert {layer.name.split(".")[0] for layer in quantized.header.layers} == {
        "patch_embed", "blocks",
    }  # fmt: skip
    if "rotate" not in changes:
        for part in ("blocks.0", "head"):
            wanted = model.module.get_submodule(part).state_dict()
            for name, tensor in quantized.module.get_submodule(part).state_dict().items():
                assert torch.equal(tensor, wanted[name].half()), name
    difference = (quantized.model(batch) - model(batch)).square().mean().sqrt()
    assert difference < 0.1 * model(batch).std()


def test_names_around_a_name():
    assert is_kept("decoder.up.weight", ["decoder"])
    assert not is_kept("decoders.up", ["decoder"])
    assert not is_kept("decoder", ["decoder.*"])
