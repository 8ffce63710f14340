"""``--weights``, ``--num-classes`` and ``--input-size``, from command to checkpoint."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from vitquant.models.sources.from_miniature import weights_path

QUICK = ("--bits", "w8a8", "--method", "rtn", "--samples", 8)


@pytest.fixture
def quantize(vitquant, digits_by_class):
    """quantize(*arguments) → how quantizing vit_digits to out.safetensors ended."""

    def run(*arguments):
        where = ("--calib", digits_by_class, "--out", "out.safetensors")
        return vitquant("quantize", "vit_digits", *QUICK, *where, *arguments)

    return run


@pytest.fixture
def changed(tmp_path):
    """changed(prefix, **tensors) → a file of the bundled weights, renamed and some replaced."""

    def make(prefix="", **tensors):
        state = load_file(weights_path("vit_digits"))
        state |= {name.replace("__", "."): tensor for name, tensor in tensors.items()}
        path = tmp_path / "w.safetensors"
        save_file({prefix + name: tensor for name, tensor in state.items()}, path)
        return path

    return make


@pytest.mark.slow
def test_another_input_size(quantize, vitquant, digits_by_class):
    assert quantize("--input-size", 48).code == 0
    found = vitquant("inspect", "out.safetensors", "--json")
    assert found.json["float_model"]["arguments"] == {"img_size": 48}
    data = ("--data", digits_by_class)
    scores = vitquant("eval", "out.safetensors", *data, "--reference", "float", "--json")
    assert scores.json["agreement"] >= 0.9
    alone = vitquant("eval", "vit_digits", *data, "--input-size", 48, "--json").json
    assert alone["top1"] == scores.json["reference"]["top1"]
    exported = vitquant("export", "out.safetensors", "--json")
    assert exported.code == 0
    assert vitquant("eval", "out.onnx", *data, "--json").json["images"] == 20


def test_sizes_that_are_refused(quantize, vitquant, checkpoint, digits_by_class):
    quantize("--input-size", "large").refused("--input-size: 'large' is not N or HxW in pixels")
    quantize("--input-size", 30).refused("--input-size: 30 does not suit", "multiples of 4")
    told = vitquant("eval", checkpoint, "--data", digits_by_class, "--input-size", 32)
    told.refused("--input-size", "is a checkpoint and knows its own")


def test_a_prefix(quantize, changed):
    done = quantize("--weights", changed("module."))
    assert done.code == 0
    warned = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    assert len(warned) == 1
    assert warned[0].endswith("w.safetensors: module. before the names was removed")
    assert "VitquantWarning" not in done.err


def test_nan(quantize, changed, tmp_path):
    path = changed(norm__bias=torch.full((96,), float("nan")))
    quantize("--weights", path).refused("--weights", "norm.bias holds NaN")
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.slow
def test_no_classifier(quantize, vitquant):
    done = quantize("--num-classes", 0)
    assert done.code == 0
    assert "cosine" in done.err
    quantize("--num-classes", -1).refused("--num-classes: -1 is not 0 or more")
    assert vitquant("export", "out.safetensors").code == 0


def test_one_class(quantize, changed):
    path = changed(head__weight=torch.ones(1, 96), head__bias=torch.zeros(1))
    quantize("--weights", path).refused("has 1 class, the model 10; say --num-classes 1")
    assert quantize("--weights", path, "--num-classes", 1, "--calib", "noise").code == 0


@pytest.mark.parametrize("command", ["synthesize", "learn-prompts"])
def test_where_images_are_made(command, vitquant):
    vitquant(command, "vit_digits", "--input-size", 30).refused("--input-size: 30 does not suit")


def test_inversion_at_another_size(vitquant):
    arguments = ("--inversion", "--samples", 10, "--iterations", 2, "--input-size", 40, "--json")
    assert vitquant("synthesize", "vit_digits", *arguments).json["images"] == 10


@pytest.mark.slow
def test_bench(vitquant, quantize):
    assert quantize().code == 0
    assert vitquant("export", "out.safetensors").code == 0
    brief = ("out.onnx", "--repeats", 1, "--no-memory")
    vitquant("bench", *brief, "--input-size", 32).refused("--input-size", "--model")
    vitquant("bench", *brief, "--model", "vit_digits", "--input-size", "x").refused("--input-size")
    assert vitquant("bench", *brief, "--model", "vit_digits", "--input-size", 32).code == 0
