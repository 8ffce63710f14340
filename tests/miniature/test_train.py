"""The training script: one short run, what it writes and what it refuses."""

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from vitquant.data.sources.digits import digits
from vitquant.miniature import train as training


def a_few(part):
    return digits(part)[:96]


def test_a_run_writes_a_loadable_file_that_tells_its_origin(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "digits", a_few)
    out = tmp_path / "short.safetensors"
    training.main(["swin_digits", "--epochs", "1", "--seed", "3", "--out", str(out)])

    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    model = timm.create_model("swin_digits").eval()
    model.load_state_dict(load_file(out), strict=True)
    correct = training.count_correct(model, a_few("test"))
    with safe_open(out, framework="pt") as file:
        assert file.metadata() == {
            "model": "swin_digits",
            "top1": f"{correct / 96:.4f}",
            "test_images": "96",
            "seed": "3",
            "epochs": "1",
        }
    assert f"{correct} of 96" in capsys.readouterr().out


def test_a_seed_gives_the_same_weights_again():
    first, second = (training.train("vit_digits", a_few("train"), 1, seed=5) for _ in range(2))
    assert all(
        torch.equal(value, second.state_dict()[key]) for key, value in first.state_dict().items()
    )


def test_training_moves_every_parameter():
    torch.manual_seed(0)
    before = timm.create_model("vit_digits", weight_init="jax").state_dict()
    after = training.train("vit_digits", a_few("train"), 1, seed=0).state_dict()
    assert [key for key in before if torch.equal(before[key], after[key])] == []


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    out = tmp_path / "weights.safetensors"
    out.write_bytes(b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(training.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        training.save(torch.nn.Linear(2, 2), out, {})
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    assert out.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["resnet50"], "resnet50"),
        (["vit_digits", "--epochs", "0"], "--epochs"),
        (["vit_digits", "--out", "missing/weights.safetensors"], "--out"),
    ],
)
def test_a_wrong_argument_is_named_before_any_training(
    arguments, named, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        training.main(arguments)
    assert named in capsys.readouterr().err


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="images"):
        training.train("vit_digits", digits("train")[:3])
