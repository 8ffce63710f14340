"""Blocks trained one after the other."""

import copy
from dataclasses import replace

import pytest
import torch

from vitquant.errors import CheckFailedError, UserError
from vitquant.methods.arithmetic import choose
from vitquant.methods.capture import capture, features
from vitquant.methods.distillation import relative_error
from vitquant.methods.reconstruction import reconstruct
from vitquant.methods.settings import Settings
from vitquant.methods.start import start


@pytest.fixture
def exact(settings):
    """exact(bits, ...) → settings whose arithmetic is the same everywhere."""

    def make(bits="w4a4", **changes):
        return settings(bits, "block", **{"precision": "float32", "compile": False} | changes)

    return make


@torch.no_grad()
def error_of(job, learned, name):
    """A block's relative error on the inputs that the blocks before it give it."""
    data = capture(job, choose(job.settings, job.device, job.progress), learned, name)
    output = learned.get_submodule(name)(data.inputs.float(), *data.args, **data.kwargs)
    return relative_error(features(output), data.targets.float()).item()


@pytest.mark.parametrize("family", ["vit", "swin", "eva02"], indirect=True)
def test_every_block_comes_closer_to_float(small, exact, make_job):
    job = make_job(small, exact("w3a3", steps=30, batch_size=4, lr_weights=1e-3))
    learned = start(job)
    before = [error_of(job, learned, name) for name in job.wiring.blocks]
    reconstruct(job, learned)
    after = [error_of(job, learned, name) for name in job.wiring.blocks]
    assert all(a < 0.8 * b for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("family", ["vit", "swin", "swinv2", "eva02_base"], indirect=True)
def test_only_the_block_moves(small, exact, make_job):
    job = make_job(small, exact(steps=3))
    learned = start(job)
    before = copy.deepcopy(dict(learned.named_parameters()))
    name = job.wiring.blocks[1]
    job.wiring = replace(job.wiring, blocks=[name])
    reconstruct(job, learned)
    moved = {n for n, p in learned.named_parameters() if not torch.equal(p, before[n])}
    assert {".".join(n.split(".")[: name.count(".") + 1]) for n in moved} == {name}
    leaves = {n.rpartition(".")[2] for n in moved}
    assert {"weight", "bias", "log_scale", "zero_point", "log"} <= leaves


def test_the_history_has_the_steps_of_every_block(make_small, exact, make_job):
    job = make_job(make_small("vit"), exact(steps=3))
    learned = start(job)
    reconstruct(job, learned)
    assert [(e["block"], e["step"]) for e in job.history] == [
        (f"blocks.{i}", step) for i in (0, 1) for step in (1, 2, 3)
    ]
    assert all(e["loss"] > 0 for e in job.history)
    assert all(p.grad is None for p in learned.parameters())


def test_parts_of_a_batch_add_up(make_small, exact, make_job):
    losses = []
    for accumulate in (1, 3):
        job = make_job(make_small("vit"), exact(steps=2, batch_size=4, accumulate=accumulate))
        learned = start(job)
        reconstruct(job, learned)
        losses.append([entry["loss"] for entry in job.history])
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_a_batch_may_be_larger_than_the_sample(make_small, exact, make_job):
    job = make_job(make_small("vit"), exact(steps=1, batch_size=7))
    reconstruct(job, start(job))
    assert len(job.history) == 2


def test_without_a_block_it_is_refused(make_small, exact, make_job):
    job = make_job(make_small("vit"), exact())
    learned = start(job)
    job.wiring = replace(job.wiring, blocks=[])
    with pytest.raises(UserError, match="--method: block finds no transformer blocks"):
        reconstruct(job, learned)


def test_nothing_to_train_is_refused(make_small, exact, make_job):
    rates = [name for name in Settings.__dataclass_fields__ if name.startswith("lr_")]
    job = make_job(make_small("vit"), exact(**dict.fromkeys(rates, 0.0)))
    with pytest.raises(UserError, match=r"--lr-weights: .* nothing is trained"):
        reconstruct(job, start(job))


def test_divergence_ends_the_run(make_small, exact, make_job):
    job = make_job(make_small("vit"), exact(steps=5, lr_weights=1e38))
    with pytest.raises(CheckFailedError, match=r"diverged.*of blocks.0; .*lower --lr-weights"):
        reconstruct(job, start(job))
