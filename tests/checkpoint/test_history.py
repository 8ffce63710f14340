"""Losses are thinned to fit into a header."""

import json
import math

import pytest

from vitquant.checkpoint.history import thin


def joint(steps):
    return [
        {"step": i, "loss": 1 / i, "features": math.pi, "logits": 2.0 * i}
        for i in range(1, steps + 1)
    ]


def block(blocks, steps):
    return [
        {"step": i, "block": f"layers.0.blocks.{b}", "loss": 0.012345 * i}
        for b in range(blocks)
        for i in range(1, steps + 1)
    ]


@pytest.mark.parametrize("steps", [1, 7, 59, 800, 24_000])
def test_it_takes_less_than_a_kilobyte(steps):
    found = thin(joint(steps))
    assert len(json.dumps(found, separators=(",", ":"))) < 1000
    assert set(found["curves"]) == {"loss", "features", "logits"}
    assert found["steps"][-1] == steps
    assert len(found["steps"]) == len(found["curves"]["loss"]) <= 60
    assert len(found["steps"]) >= min(steps, 20)


def test_a_point_is_the_mean_since_the_one_before():
    found = thin(joint(1000))
    first, second, *_ = found["steps"]
    assert found["curves"]["features"][0] == 3.14
    mean = sum(range(first + 1, second + 1)) / (second - first) * 2
    assert found["curves"]["logits"][1] == pytest.approx(mean, rel=5e-3)


@pytest.mark.parametrize("blocks", [2, 12, 24])
def test_blocks_have_curves_of_their_own(blocks):
    found = thin(block(blocks, 100))
    assert len(found["curves"]) == blocks
    assert found["steps"][-1] == 100
    assert len(json.dumps(found, separators=(",", ":"))) < 1100
    rising = found["curves"]["layers.0.blocks.0"]
    assert rising == sorted(rising)
    assert len(rising) >= 2


def test_nothing_is_left_of_nothing():
    assert thin([]) == {}
