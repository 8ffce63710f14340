"""Joint training: what moves, what does not, and that saving memory changes nothing."""

import copy

import pytest
import torch
from torch import nn

from vitquant.errors import UserError
from vitquant.layers.weight import LearnedWeight
from vitquant.methods.start import start
from vitquant.methods.training import train
from vitquant.quantizers import fused

LEAVES = {
    "log_scale": "lr_scales",
    "zero_point": "lr_zero_points",
    "log_prefix": "lr_scales",
    "offset": "lr_offsets",
    "prefix_offset": "lr_offsets",
    "log": "lr_rescaling",
}
RATES = ("lr_weights", "lr_head", *dict.fromkeys(LEAVES.values()), "lr_norms")


def rate_of(learned: nn.Module, name: str) -> str:
    owner, _, leaf = name.rpartition(".")
    inside = isinstance(learned.get_submodule(owner), LearnedWeight)
    weights = "lr_head" if owner.startswith("head") else "lr_weights"
    return LEAVES.get(leaf) or (weights if inside else "lr_norms")


@pytest.fixture
def exact(settings):
    """exact(bits, ...) → settings whose arithmetic is the same everywhere."""

    def make(bits="w4a4", **changes):
        return settings(bits, "joint", **{"precision": "float32", "compile": False} | changes)

    return make


@pytest.fixture
def trained(make_small, exact, make_job):
    """trained(family, ...) → (job, model before, model after)."""

    def run(family="vit", **changes):
        job = make_job(make_small(family), exact(**changes))
        learned = start(job)
        before = copy.deepcopy(dict(learned.named_parameters()))
        train(job, learned)
        return job, before, learned

    return run


def gradients(learned):
    return torch.cat([p.grad.flatten() for p in learned.parameters() if p.grad is not None])


def moved(before, learned):
    return {n for n, p in learned.named_parameters() if not torch.equal(p, before[n])}


@pytest.mark.parametrize("family", ["vit", "swin", "siglip"])
@pytest.mark.parametrize("accumulate", [2, 3, 4])
def test_parts_of_a_batch_add_up_to_the_whole(family, accumulate, trained):
    whole, _, first = trained(family, steps=1, batch_size=4)
    parts, _, second = trained(family, steps=1, batch_size=4, accumulate=accumulate)
    assert parts.history[0] == pytest.approx(whole.history[0], rel=1e-2)
    difference = gradients(first) - gradients(second)
    # Sums in another order may take a value to the other side of a rounding.
    assert difference.norm() < 0.05 * gradients(first).norm()


@pytest.mark.parametrize("family", ["vit", "swin", "eva02"])
def test_computing_activations_again_changes_nothing(family, trained):
    plain, _, first = trained(family, steps=2)
    again, _, second = trained(family, steps=2, checkpointing=True)
    for ours, theirs in zip(again.history, plain.history, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
    torch.testing.assert_close(gradients(second), gradients(first), rtol=1e-4, atol=1e-6)


def test_a_model_that_cannot_checkpoint_is_refused(wrapped, exact, make_job):
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Conv2d(3, 24, 8, 8)
            self.qkv = nn.Linear(24, 72)

        def forward(self, x):
            q, k, v = self.qkv(self.embed(x).flatten(2).mT).chunk(3, -1)
            return ((q @ k.mT).softmax(-1) @ v).mean(1)

    job = make_job(wrapped(Attention().eval().requires_grad_(False)), exact(checkpointing=True))
    with pytest.raises(UserError, match=r"--checkpointing: .*--accumulate"):
        train(job, start(job))


def test_everything_moves_but_what_cannot_be_seen(trained):
    _, before, learned = trained("vit", steps=2, lr_head=0.01)
    assert {rate_of(learned, n) for n in moved(before, learned)} == set(RATES)
    for name in before.keys() - moved(before, learned):
        assert name.endswith(("zero_point", "offset", "log", "log_prefix"))


@pytest.mark.parametrize("frozen", RATES)
def test_a_rate_of_zero_freezes_its_group(frozen, trained):
    _, before, learned = trained("vit", steps=2, **{"lr_head": 0.01} | {frozen: 0.0})
    assert {rate_of(learned, n) for n in moved(before, learned)} == set(RATES) - {frozen}


def test_zero_points_of_what_is_never_negative_stay(trained):
    _, _, learned = trained("vit", steps=2, lr_zero_points=1.0)
    attention = learned.blocks[0].attn
    assert attention.products[1].left.zero_point == 0
    assert attention.products[1].right.zero_point != attention.products[1].right.zero_point.round()


def test_low_precision_and_compiled_quantizers_come_near(trained):
    if reason := fused.why_not("cpu"):
        pytest.skip(f"nothing can be compiled here: {reason}")
    plain, _, _ = trained("vit", steps=4)
    fast, _, _ = trained("vit", steps=4, precision="bfloat16", compile=True)
    for ours, theirs in zip(fast.history, plain.history, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=0.2)
