"""Names of a file and names of a network."""

import pytest
import timm
import torch

from vitquant.core.errors import UserError
from vitquant.models.weight_files.match_names import Wanted, common_prefix, match_names

SMALL = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 48, "num_heads": 3}


def vit(**changes):
    torch.manual_seed(0)
    arguments = SMALL | {"num_classes": 10} | changes
    return timm.create_model("vit_tiny_patch16_224", **arguments).state_dict()


def match(tensors, resize=False, **changes):
    return match_names(tensors, Wanted(vit(**changes), "timm", ("head.",), resize), "FILE")


def refused(tensors, resize=False, **changes) -> str:
    with pytest.raises(UserError) as found:
        match(tensors, resize, **changes)
    assert "\n" not in str(found.value)
    return str(found.value)


def under(prefix, tensors):
    return {prefix + name: tensor for name, tensor in tensors.items()}


def test_the_same_names():
    matched = match(vit())
    assert matched.tensors.keys() == vit().keys()
    assert (matched.notes, matched.resized) == ([], [])


@pytest.mark.parametrize(
    "prefix",
    ["module.", "model.", "backbone.", "_orig_mod.", "module._orig_mod.", "encoder.", "net.", "x."],
)
def test_a_prefix_is_removed(prefix):
    matched = match(under(prefix, vit()))
    assert all(torch.equal(matched.tensors[name], tensor) for name, tensor in vit().items())
    assert matched.notes == [f"FILE: {prefix} before the names was removed"]


def test_the_averaged_model_of_two():
    student = {name: torch.zeros_like(tensor) for name, tensor in vit().items()}
    for prefix in ("teacher.", "ema_model."):
        matched = match(under("student.", student) | under(prefix, vit()))
        assert torch.equal(matched.tensors["norm.weight"], vit()["norm.weight"])
        assert matched.notes == [
            f"FILE: {prefix} before the names was removed, and {len(student)} other tensors were "
            f"left out"
        ]


def test_no_prefix_wins():
    assert common_prefix(["a.w", "module.a.w"], ["a.w"]) == ""
    assert common_prefix(["b.a.w", "a.a.w"], ["a.w"]) == "a."
    assert common_prefix(["z"], ["a.w"]) == ""


def test_a_backbone_with_its_own_decoder():
    file = under("backbone.", vit(num_classes=0)) | {"decode_head.conv.weight": torch.zeros(2)}
    assert match(file, num_classes=0).tensors.keys() == vit(num_classes=0).keys()
    assert "backbone.head.bias is missing); say --num-classes 0" in refused(file)


def test_a_head_beside_a_backbone():
    state = vit()
    head = {name: state.pop(name) for name in ("head.weight", "head.bias")}
    matched = match(under("backbone.", state) | head)
    assert torch.equal(matched.tensors["head.weight"], head["head.weight"])


def test_a_dropped_head():
    message = refused(vit(num_classes=0))
    assert message == (
        "FILE has no classifier (head.bias is missing); say --num-classes 0 for a model without one"
    )


def test_a_head_that_is_not_wanted():
    assert match(vit(), num_classes=0).tensors.keys() == vit(num_classes=0).keys()


@pytest.mark.parametrize(("count", "words"), [(1, "1 class"), (7, "7 classes")])
def test_another_number_of_classes(count, words):
    assert refused(vit(num_classes=count)) == (
        f"FILE has {words}, the model 10; say --num-classes {count}"
    )


def test_another_input_size():
    words = "pos_embed is (1, 65, 48), the model needs (1, 17, 48): it is of another input size; "
    assert refused(vit(img_size=64)) == f"FILE: {words}say --input-size 64"
    matched = match(vit(img_size=64), resize=True)
    assert matched.resized == ["pos_embed"]


def test_another_patch_size():
    assert refused(vit(patch_size=4), resize=True) == (
        "FILE: the patches are 4x4 pixels, the model's 8x8; name an architecture with patches of "
        "4x4"
    )


def test_another_width():
    assert "blocks.0.attn.proj.bias is (24,), the model needs (48,)" in refused(vit(embed_dim=24))


def test_another_depth():
    assert refused(vit(depth=1)).startswith("FILE lacks blocks.1.attn.proj.bias (12 names missing")
    assert "has module.blocks.2.attn.proj.bias, which" in refused(under("module.", vit(depth=3)))


def test_integers_for_weights():
    file = vit() | {"norm.weight": torch.ones(48, dtype=torch.int64)}
    assert refused(file).startswith("FILE: norm.weight is int64; weights in float32")


def test_derived_buffers_may_be_there_or_not():
    network = {"w": torch.zeros(2), "relative_position_index": torch.zeros(4).long()}
    wanted = Wanted(network, "timm")
    assert match_names({"w": torch.ones(2)}, wanted, "FILE").tensors.keys() == {"w"}
    other = {"w": torch.ones(2), "relative_position_index": torch.zeros(9).long()}
    assert match_names(other, wanted, "FILE").tensors.keys() == {"w"}
    extra = {"w": torch.ones(2), "attn_mask": torch.zeros(9)}
    assert match_names(extra, wanted, "FILE").tensors.keys() == {"w"}
    assert match_names(network, wanted, "FILE").tensors.keys() == network.keys()
