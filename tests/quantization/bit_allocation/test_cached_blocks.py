"""What follows a change is computed as if all were."""

import pytest
import torch
from torch import nn

from vitquant.quantization.bit_allocation.cached_blocks import CachedBlocks
from vitquant.quantization.graph.points import example_inputs, find_points


@torch.no_grad()
@pytest.mark.parametrize("start", [0, 1, 2])
def test_a_change_behind_the_skipped_blocks(small, batch, start):
    blocks = find_points(small.module, example_inputs(small.input_size), small.tokens).blocks
    cached = CachedBlocks(small.module, blocks, small.adapter.forward, batch)
    torch.testing.assert_close(cached.record(), small(batch), rtol=0, atol=0)
    layers = [
        m for m in small.module.get_submodule(blocks[-1]).modules() if isinstance(m, nn.Linear)
    ]
    layers[-1].weight.mul_(1.5)
    changed = small(batch)
    assert not torch.equal(changed, cached.run_from(len(blocks)))
    start = min(start, len(blocks) - 1)
    torch.testing.assert_close(cached.run_from(start), changed, rtol=0, atol=0)
    # The network is what it was.
    torch.testing.assert_close(small(batch), changed, rtol=0, atol=0)


@torch.no_grad()
def test_skipped_blocks_do_not_run(make_small, batch):
    small = make_small("vit")
    cached = CachedBlocks(small.module, ["blocks.0", "blocks.1"], small.adapter.forward, batch)
    cached.record()
    ran = []
    small.module.blocks[0].mlp.register_forward_hook(lambda *_: ran.append(0))
    small.module.blocks[1].mlp.register_forward_hook(lambda *_: ran.append(1))
    cached.run_from(1)
    assert ran == [1]
    cached.run_from(2)
    assert ran == [1]


@torch.no_grad()
def test_a_block_that_runs_twice_is_not_skipped(make_small, batch):
    small = make_small("vit")
    small.module.blocks[1] = small.module.blocks[0]
    cached = CachedBlocks(small.module, ["blocks.0"], small.adapter.forward, batch)
    cached.record()
    small.module.blocks[0].mlp.fc2.weight.mul_(1.5)
    torch.testing.assert_close(cached.run_from(1), small(batch), rtol=0, atol=0)


@torch.no_grad()
def test_what_a_block_put_out_is_not_written_into(batch):
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([nn.Identity(), nn.Identity()])

        def forward(self, x):
            return self.blocks[1](self.blocks[0](x + 0).add_(1)).mul_(2)

    cached = CachedBlocks(InPlace(), ["blocks.0", "blocks.1"], nn.Module.__call__, batch)
    first = cached.record().clone()
    for start in (1, 1, 2, 0):
        torch.testing.assert_close(cached.run_from(start), first, rtol=0, atol=0)
