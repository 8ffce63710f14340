"""Which module absorbs a division of which Linear's input."""

import pytest
import timm
import torch
from torch import nn

from vitquant.quantization.graph.points import example_inputs, find_points
from vitquant.quantization.transforms.folding import Fold, find_folds


def folds_of(model):
    images = example_inputs(model.input_size)
    return find_folds(model.module, images[:1], find_points(model.module, images))


def norm(source, *consumers):
    return Fold(source, 0, consumers, norm=True, shift=True)


def values(source, start, consumer):
    return Fold(source, start, (consumer,), norm=False, shift=True)


def blocks(*names):
    """Pre-norm blocks with a joint projection of 48 channels."""
    found = set()
    for name, width in names:
        found |= {
            norm(f"{name}.norm1", f"{name}.attn.qkv"),
            norm(f"{name}.norm2", f"{name}.mlp.fc1"),
            values(f"{name}.attn.qkv", 2 * width, f"{name}.attn.proj"),
        }
    return found


def separate(name):
    """A block of EVA02 with separate projections and a gated, normalised MLP."""
    return {
        norm(f"{name}.norm1", *(f"{name}.attn.{p}_proj" for p in "qkv")),
        norm(f"{name}.norm2", f"{name}.mlp.fc1_g", f"{name}.mlp.fc1_x"),
        norm(f"{name}.mlp.norm", f"{name}.mlp.fc2"),
        values(f"{name}.attn.v_proj", 0, f"{name}.attn.proj"),
    }


PLAIN = blocks(("blocks.0", 48), ("blocks.1", 48))
# The attention reads the weight of its projection by itself, so nothing can be divided there.
FUNCTIONAL = {norm(f"blocks.{i}.norm2", f"blocks.{i}.mlp.fc1") for i in (0, 1)}
EXPECTED = {
    "vit": PLAIN | {norm("norm", "head")},
    "distilled": PLAIN | {norm("norm", "head", "head_dist")},
    "deit3": PLAIN | {norm("norm", "head")},
    "swin": blocks(*((f"layers.{i}.blocks.{j}", 24 << i) for i in (0, 1) for j in (0, 1)))
    | {norm("layers.1.downsample.norm", "layers.1.downsample.reduction"), norm("norm", "head.fc")},
    "swinv2": {norm("norm", "head.fc")},  # norms stand after the branches
    "clip": PLAIN | {norm("norm", "head")},
    "siglip": PLAIN
    | {norm("norm", "attn_pool.kv"), norm("attn_pool.norm", "attn_pool.mlp.fc1")},
    "dinov2": PLAIN | {norm("norm", "head")},
    "eva02": FUNCTIONAL | {norm("fc_norm", "head")},
    "eva02_base": separate("blocks.0") | separate("blocks.1") | {norm("fc_norm", "head")},
    "beit": FUNCTIONAL | {norm("fc_norm", "head")},
}  # fmt: skip


def test_each_fold_of_each_family_is_found(family, small):
    assert set(folds_of(small)) == EXPECTED[family]


def test_a_norm_whose_output_is_used_twice_does_not_fold(make_small):
    model = make_small("vit")
    block = model.module.blocks[0]
    forward = block.norm1.forward
    block.norm1.register_forward_hook(lambda module, args, out: None)

    def peek(x):
        normed = forward(x)
        return x + block.attn(normed) + normed

    block.forward = peek
    assert {f.source for f in folds_of(model) if f.source.startswith("blocks.0")} <= {
        "blocks.0.attn.qkv"
    }


@pytest.mark.parametrize("family", ["vit", "swin", "eva02_base"], indirect=True)
def test_looking_leaves_the_model_as_it_was(small, batch):
    before = small.module(batch)
    folds_of(small)
    assert torch.equal(small.module(batch), before)


def test_channels_that_are_always_zero_are_no_obstacle(make_small):
    model = make_small("vit")
    for name in ("norm1", "norm2"):
        layer = model.module.blocks[0].get_submodule(name)
        layer.weight[:5] = 0
        layer.bias[:3] = 0
    assert set(folds_of(model)) == EXPECTED["vit"]


def test_zeros_padded_to_a_window_take_a_division_and_no_offset():
    torch.manual_seed(0)
    module = timm.create_model(
        "swin_tiny_patch4_window7_224",
        img_size=32, patch_size=2, window_size=5, depths=(2,), embed_dim=24, num_heads=(2,),
    ).eval()  # fmt: skip
    images = example_inputs((3, 32, 32))
    folds = find_folds(module, images[:1], find_points(module, images))
    shifts = {fold.source: fold.shift for fold in folds}
    assert shifts == {
        f"layers.0.blocks.{i}.{source}": source != "norm1"
        for i in (0, 1)
        for source in ("norm1", "norm2", "attn.qkv")
    } | {"norm": True}


def test_a_branch_that_multiplies_takes_a_division_and_no_offset():
    class Gated(nn.Module):
        """Its norm's output is multiplied by a function of the block's input on its way."""

        def __init__(self):
            super().__init__()
            self.norm = nn.LayerNorm(24)
            self.qkv = nn.Linear(24, 72)
            self.proj = nn.Linear(24, 24)

        def forward(self, x):
            gate = x.mean(-1, keepdim=True).sigmoid()
            q, k, v = self.qkv(self.norm(x) * gate).chunk(3, -1)
            return self.proj((q @ k.mT).softmax(-1) @ v)

    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 24, 8, 8), nn.Flatten(2), Transpose(), Gated()).eval()
    images = example_inputs((3, 32, 32))
    folds = find_folds(module, images[:1], find_points(module, images))
    assert {fold.source: fold.shift for fold in folds} == {"3.norm": False, "3.qkv": True}


class Transpose(nn.Module):
    def forward(self, x):
        return x.mT
