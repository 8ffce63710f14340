"""Rotated models: what stays the same, and what changes."""

import copy

import pytest
import torch

from vitquant.quantization.transforms.rotation import rotate


@pytest.fixture
def lively(make_small):
    """lively(family) → a small model in which every parameter matters."""

    def make(family):
        model = make_small(family)
        generator = torch.Generator().manual_seed(1)
        for parameter in model.module.parameters():
            if parameter.dim() == 1:
                parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
        return model

    return make


@torch.no_grad()
@pytest.mark.parametrize("family", ["vit", "distilled", "deit3", "dinov2"])
def test_the_same_is_computed_of_other_images_too(family, lively, batch):
    model = lively(family)
    network = copy.deepcopy(model.module)
    assert rotate(model, torch.zeros_like(batch), seed=0)
    rotated = model.module
    torch.testing.assert_close(rotated(batch), network(batch), rtol=1e-3, atol=1e-4)
    for name in ("blocks.0.attn.qkv.weight", "blocks.1.mlp.fc2.weight", "pos_embed"):
        before, after = network.get_parameter(name), rotated.get_parameter(name)
        assert after.dtype == before.dtype
        assert not torch.allclose(after, before, atol=0.01)


@torch.no_grad()
def test_a_channel_that_stands_out_does_so_no_longer(lively, batch):
    rotated = lively("vit")
    rotated.module.blocks[1].norm2.weight[3] = 30
    network = copy.deepcopy(rotated.module)
    rotate(rotated, batch, seed=0)

    def widest(model):
        """The widest channel in front of a layer, counted by what the layer makes of it."""
        layer, found = model.blocks[1].mlp.fc1, []
        handle = layer.register_forward_pre_hook(lambda module, args: found.append(args[0]))
        model(batch)
        handle.remove()
        ranges = found[0].abs().amax((0, 1)) * layer.weight.norm(dim=0)
        return ranges.max() / ranges.median()

    assert widest(network) > 10
    assert widest(rotated.module) < 5


def test_a_seed_gives_the_same_rotation_again(lively, batch):
    first, again, other = (lively("vit") for _ in range(3))
    for model, seed in ((first, 0), (again, 0), (other, 1)):
        rotate(model, batch, seed)
    assert torch.equal(first.module.pos_embed, again.module.pos_embed)
    assert not torch.allclose(first.module.pos_embed, other.module.pos_embed)


@pytest.mark.parametrize("family", ["swin", "swinv2", "clip", "eva02", "siglip"])
def test_what_cannot_be_rotated_is_told(family, lively, batch):
    assert not rotate(lively(family), batch, seed=0)
