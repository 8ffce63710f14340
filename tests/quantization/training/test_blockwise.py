"""Blocks trained one after the other."""

import copy
from dataclasses import replace

import pytest
import torch

from vitquant.config.groups.training import LearningRates
from vitquant.core.errors import CheckFailedError, UserError
from vitquant.quantization.ptq.calibrate import calibrate_with_rescaling
from vitquant.quantization.training.blockwise import capture, features, reconstruct
from vitquant.quantization.training.losses import relative_error
from vitquant.quantization.training.precision import choose_precision


@pytest.fixture
def exact(settings):
    """exact(bits, ...) → settings whose precision is the same everywhere."""

    def make(bits="w4a4", **changes):
        return settings(bits, "block", **{"precision": "float32", "compile": False} | changes)

    return make


@torch.no_grad()
def error_of(context, student, name):
    """A block's relative error on the inputs that the blocks before it give it."""
    data = capture(
        context, choose_precision(context.settings, context.device, context.progress), student, name
    )
    output = student.get_submodule(name)(data.inputs.float(), *data.args, **data.kwargs)
    return relative_error(features(output), data.targets.float()).item()


@pytest.mark.parametrize("family", ["vit", "swin", "eva02"], indirect=True)
def test_every_block_comes_closer_to_float(small, exact, make_context):
    context = make_context(small, exact("w3a3", steps=30, batch_size=4, lr_weights=1e-3))
    student = calibrate_with_rescaling(context)
    before = [error_of(context, student, name) for name in context.points.blocks]
    reconstruct(context, student)
    after = [error_of(context, student, name) for name in context.points.blocks]
    assert all(a < 0.8 * b for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("family", ["vit", "swin", "swinv2", "eva02_base"], indirect=True)
def test_only_the_block_moves(small, exact, make_context):
    context = make_context(small, exact(steps=3))
    student = calibrate_with_rescaling(context)
    before = copy.deepcopy(dict(student.named_parameters()))
    name = context.points.blocks[1]
    context.points = replace(context.points, blocks=[name])
    reconstruct(context, student)
    moved = {n for n, p in student.named_parameters() if not torch.equal(p, before[n])}
    assert {".".join(n.split(".")[: name.count(".") + 1]) for n in moved} == {name}
    leaves = {n.rpartition(".")[2] for n in moved}
    assert {"weight", "bias", "log_scale", "zero_point", "log"} <= leaves


def test_the_history_has_the_steps_of_every_block(make_small, exact, make_context):
    context = make_context(make_small("vit"), exact(steps=3))
    student = calibrate_with_rescaling(context)
    reconstruct(context, student)
    assert [(e["block"], e["step"]) for e in context.history] == [
        (f"blocks.{i}", step) for i in (0, 1) for step in (1, 2, 3)
    ]
    assert all(e["loss"] > 0 for e in context.history)
    assert all(p.grad is None for p in student.parameters())


def test_parts_of_a_batch_add_up(make_small, exact, make_context):
    losses = []
    for accumulate in (1, 3):
        context = make_context(
            make_small("vit"), exact(steps=2, batch_size=4, grad_accum_steps=accumulate)
        )
        student = calibrate_with_rescaling(context)
        reconstruct(context, student)
        losses.append([entry["loss"] for entry in context.history])
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_a_batch_may_be_larger_than_the_sample(make_small, exact, make_context):
    context = make_context(make_small("vit"), exact(steps=1, batch_size=7))
    reconstruct(context, calibrate_with_rescaling(context))
    assert len(context.history) == 2


def test_without_a_block_it_is_refused(make_small, exact, make_context):
    context = make_context(make_small("vit"), exact())
    student = calibrate_with_rescaling(context)
    context.points = replace(context.points, blocks=[])
    with pytest.raises(UserError, match="--method: block finds no transformer blocks"):
        reconstruct(context, student)


def test_nothing_to_train_is_refused(make_small, exact, make_context):
    rates = [name for name in LearningRates.fields() if name != "lr_head"]
    context = make_context(make_small("vit"), exact(**dict.fromkeys(rates, 0.0)))
    with pytest.raises(UserError, match=r"--lr-weights: .* nothing is trained"):
        reconstruct(context, calibrate_with_rescaling(context))


def test_divergence_ends_the_run(make_small, exact, make_context):
    context = make_context(make_small("vit"), exact(steps=5, lr_weights=1e38))
    with pytest.raises(CheckFailedError, match=r"diverged.*of blocks.0; .*lower --lr-weights"):
        reconstruct(context, calibrate_with_rescaling(context))
