"""A run that goes on from its state ends like one that nobody disturbed."""

import json
import os

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from vitquant.core.errors import CheckFailedError, UserError
from vitquant.core.progress import Silent
from vitquant.quantization.training.state import TrainingState
from vitquant.workflows.ptq import quantize


class Stop(Silent):
    """Interrupts training once so many steps have been reported."""

    def __init__(self, after):
        self.left = after

    def status(self, text):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.fixture
def trained(make_small, images, settings, tmp_path):
    """trained(name, stop, **changes) → bytes of a checkpoint after six steps; stops after some."""
    path = tmp_path / "run.state"

    def run(stop=None, every=1, resume=True, **changes):
        chosen = settings("w4a4", "joint", **({"steps": 6, "precision": "float32"} | changes))
        progress = Silent() if stop is None else Stop(stop)
        state = TrainingState(path, every) if resume else None
        found = quantize(make_small("vit"), images, chosen, progress, state=state)
        found.save(tmp_path / "model")
        return (tmp_path / "model").read_bytes(), found.history

    run.path = path
    return run


@pytest.mark.parametrize("every", [1, 2])
def test_an_interrupted_run_ends_like_an_undisturbed_one(every, trained):
    plain = trained(resume=False)
    assert not trained.path.exists()
    for stop in (3, 2):
        with pytest.raises(KeyboardInterrupt):
            trained(stop=stop, every=every)
    assert trained(every=every) == plain


def test_rates_of_zero_leave_what_they_freeze_alone(trained):
    changes = {"lr_weights": 0.0, "lr_rescaling": 0.0}
    with pytest.raises(KeyboardInterrupt):
        trained(stop=4, **changes)
    assert trained(**changes) == trained(resume=False, **changes)


def test_views_that_come_again_are_the_same_after_an_interruption(trained):
    """The float model's outputs are then kept, and lost with the process."""
    changes = {"views": 1, "steps": 8}
    with pytest.raises(KeyboardInterrupt):
        trained(stop=5, **changes)
    assert trained(**changes) == trained(resume=False, **changes)


def test_a_run_that_was_nearly_done_has_nothing_left_to_train(trained):
    done = trained()
    assert trained() == done


def test_without_steps_between_savings_a_short_run_saves_nothing(trained):
    with pytest.raises(KeyboardInterrupt):
        trained(stop=4, every=None)
    assert not trained.path.exists()


@pytest.fixture
def interrupted(trained):
    """``trained``, interrupted after two steps."""
    with pytest.raises(KeyboardInterrupt):
        trained(stop=2)
    return trained


@pytest.mark.parametrize("length", [0, 7, 1000, -1])
def test_a_state_that_is_cut_short(length, interrupted):
    interrupted.path.write_bytes(interrupted.path.read_bytes()[:length])
    with pytest.raises(UserError, match=r"^--resume: .*run.state is cut short or damaged"):
        interrupted()


def test_a_state_that_is_foreign(interrupted, batch):
    save_file({"x": batch}, interrupted.path)
    with pytest.raises(UserError, match="was not written by this vitquant; remove it"):
        interrupted()
    interrupted.path.unlink()
    interrupted.path.mkdir()
    with pytest.raises(UserError, match="--resume:"):
        interrupted()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lr_weights": 0.5}, r"another --lr-weights \(0.003 there, 0.5 here\)"),
        ({"steps": 7}, r"another --steps \(6 there, 7 here\)"),
        ({"seed": 1}, "another --calib"),
    ],
)
def test_a_state_of_another_run(changes, words, interrupted):
    with pytest.raises(UserError, match=words):
        interrupted(**changes)


def test_a_state_of_another_model(interrupted, make_small, images, settings):
    model = make_small("vit")
    object.__setattr__(model.identity, "weights_sha256", "another")
    chosen = settings("w4a4", "joint", steps=6, precision="float32")
    with pytest.raises(UserError, match="a run with another MODEL;"):
        quantize(model, images, chosen, state=TrainingState(interrupted.path))


def test_the_state_says_how_far_it_is(interrupted):
    qkv = "blocks.0.attn.qkv.weight"
    with safe_open(interrupted.path, framework="pt") as file:
        header = json.loads(file.metadata()["vitquant-state"])
        names = set(file.keys())
    assert header["step"] == 2
    assert [entry["step"] for entry in header["history"]] == [1, 2]
    assert {f"parameter/{qkv}", f"adam/{qkv}/exp_avg", f"adam/{qkv}/step"} <= names


def test_a_disk_that_is_full_does_not_stop_the_run(trained, monkeypatch):
    warned = []
    monkeypatch.setattr(Silent, "warn", lambda self, message: warned.append(message))

    def full(*args):
        raise UserError("--resume: no space")

    monkeypatch.setattr("vitquant.quantization.training.state.write_whole", full)
    assert trained()[1][-1]["step"] == 6
    assert len(warned) == 1
    assert "--resume: no space" in warned[0]


@pytest.mark.parametrize("steps", [6, 1])
def test_a_loss_that_is_no_number_ends_the_run(steps, trained):
    with pytest.raises(CheckFailedError, match=r"diverged: .*--lr-weights"):
        trained(lr_weights=1e38, steps=steps)
    assert not trained.path.exists()
    assert not os.path.exists(trained.path.with_name("model"))
