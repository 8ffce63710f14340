"""Joint training: what moves, what does not, and that saving memory changes nothing."""

import copy

import pytest
import torch
from torch import nn

from vitquant.core.errors import UserError
from vitquant.quantization.layers.base import FakeQuantLayer
from vitquant.quantization.ptq.calibrate import calibrate_with_rescaling
from vitquant.quantization.quantizers import compiled
from vitquant.quantization.training.joint import train

LEAVES = {
    "log_scale": "lr_scales",
    "zero_point": "lr_zero_points",
    "log_prefix_scale": "lr_scales",
    "channel_shift": "lr_shifts",
    "prefix_channel_shift": "lr_shifts",
    "log": "lr_rescaling",
}
RATES = ("lr_weights", "lr_head", *dict.fromkeys(LEAVES.values()), "lr_norms")


def rate_of(student: nn.Module, name: str) -> str:
    owner, _, leaf = name.rpartition(".")
    inside = isinstance(student.get_submodule(owner), FakeQuantLayer)
    weights = "lr_head" if owner.startswith("head") else "lr_weights"
    return LEAVES.get(leaf) or (weights if inside else "lr_norms")


@pytest.fixture
def exact(settings):
    """exact(bits, ...) → settings whose precision is the same everywhere."""

    def make(bits="w4a4", **changes):
        return settings(bits, "joint", **{"precision": "float32", "compile": False} | changes)

    return make


@pytest.fixture
def trained(make_small, exact, make_context):
    """trained(family, ...) → (context, model before, model after)."""

    def run(family="vit", **changes):
        context = make_context(make_small(family), exact(**changes))
        student = calibrate_with_rescaling(context)
        before = copy.deepcopy(dict(student.named_parameters()))
        train(context, student)
        return context, before, student

    return run


def gradients(student):
    return torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None])


def moved(before, student):
    return {n for n, p in student.named_parameters() if not torch.equal(p, before[n])}


@pytest.mark.parametrize("family", ["vit", "swin", "siglip"])
@pytest.mark.parametrize("accumulate", [2, 3, 4])
def test_parts_of_a_batch_add_up_to_the_whole(family, accumulate, trained):
    whole, _, first = trained(family, steps=1, batch_size=4)
    parts, _, second = trained(family, steps=1, batch_size=4, grad_accum_steps=accumulate)
    assert parts.history[0] == pytest.approx(whole.history[0], rel=1e-2)
    difference = gradients(first) - gradients(second)
    # Sums in another order may take a value to the other side of a rounding.
    assert difference.norm() < 0.05 * gradients(first).norm()


@pytest.mark.parametrize("family", ["vit", "swin", "eva02"])
def test_computing_activations_again_changes_nothing(family, trained):
    plain, _, first = trained(family, steps=2)
    again, _, second = trained(family, steps=2, grad_checkpointing=True)
    for ours, theirs in zip(again.history, plain.history, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
    torch.testing.assert_close(gradients(second), gradients(first), rtol=1e-4, atol=1e-6)


def test_a_model_that_cannot_checkpoint_is_refused(wrapped, exact, make_context):
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Conv2d(3, 24, 8, 8)
            self.qkv = nn.Linear(24, 72)

        def forward(self, x):
            q, k, v = self.qkv(self.embed(x).flatten(2).mT).chunk(3, -1)
            return ((q @ k.mT).softmax(-1) @ v).mean(1)

    context = make_context(
        wrapped(Attention().eval().requires_grad_(False)), exact(grad_checkpointing=True)
    )
    with pytest.raises(UserError, match=r"--grad-checkpointing: .*--grad-accum-steps"):
        train(context, calibrate_with_rescaling(context))


def test_everything_moves_but_what_cannot_be_seen(trained):
    _, before, student = trained("vit", steps=2, lr_head=0.01)
    assert {rate_of(student, n) for n in moved(before, student)} == set(RATES)
    for name in before.keys() - moved(before, student):
        assert name.endswith(("zero_point", "channel_shift", "log", "log_prefix_scale"))


@pytest.mark.parametrize("frozen", RATES)
def test_a_rate_of_zero_freezes_its_group(frozen, trained):
    _, before, student = trained("vit", steps=2, **{"lr_head": 0.01} | {frozen: 0.0})
    assert {rate_of(student, n) for n in moved(before, student)} == set(RATES) - {frozen}


def test_zero_points_of_what_is_never_negative_stay(trained):
    _, _, student = trained("vit", steps=2, lr_zero_points=1.0)
    attention = student.blocks[0].attn
    assert attention.products[1].left.zero_point == 0
    assert attention.products[1].right.zero_point != attention.products[1].right.zero_point.round()


@pytest.mark.slow
def test_low_precision_and_compiled_quantizers_come_near(trained):
    if reason := compiled.unavailable_reason("cpu"):
        pytest.skip(f"nothing can be compiled here: {reason}")
    plain, _, _ = trained("vit", steps=4)
    fast, _, _ = trained("vit", steps=4, precision="bfloat16", compile=True)
    for ours, theirs in zip(fast.history, plain.history, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=0.2)
