"""``vitquant quantize``: what it prints, what it writes, and what it refuses."""

import errno
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from vitquant.models.sources.from_miniature import weights_path

KEYS = [
    "output",
    "model",
    "bits",
    "method",
    "calib",
    "samples",
    "steps",
    "seed",
    "seconds",
    "peak_memory_bytes",
    "bytes",
    "float_bytes",
]


@pytest.fixture
def quantize(vitquant, digits_by_class):
    """quantize(*arguments) → a short run of rtn, unless the arguments say otherwise."""

    def run(*arguments, model="vit_digits", bits="w4a4"):
        brief = ("--method", "rtn", "--calib", digits_by_class, "--samples", 8)
        return vitquant("quantize", model, "--bits", bits, *brief, *arguments)

    return run


def test_stdout_is_the_path_alone(quantize, tmp_path):
    ended = quantize()
    assert (ended.code, ended.out) == (0, "vit_digits-w4a4.safetensors\n")
    assert "vit_digits to w4a4" in ended.err
    assert "\x1b" not in ended.err
    assert os.listdir(tmp_path) == ["vit_digits-w4a4.safetensors"]


def test_json_has_the_keys_of_the_contract(quantize, tmp_path):
    ended = quantize("--json", "--out", tmp_path / "a.safetensors", "--seed", 3)
    found = ended.json
    assert set(KEYS) <= set(found)
    assert found["output"] == str(tmp_path / "a.safetensors")
    assert found["bytes"] == (tmp_path / "a.safetensors").stat().st_size
    assert found["float_bytes"] > 3 * found["bytes"]
    assert found["model"] == "vit_digits"
    assert (found["bits"], found["method"], found["steps"]) == ("w4a4", "rtn", 0)
    assert (found["samples"], found["seed"]) == (8, 3)
    assert found["peak_memory_bytes"] > 10**7
    assert 0.5 < found["agreement"] <= 1
    assert found["cosine"] is None
    assert found["processes"] == 1


def test_joint_reports_its_losses(quantize):
    arguments = ("--method", "joint", "--steps", 3, "--batch-size", 2, "--json")
    found = quantize(*arguments, bits="W3A3").json
    assert (found["method"], found["steps"], found["bits"]) == ("joint", 3, "w3a3")
    assert [entry["step"] for entry in found["history"]] == [1, 2, 3]


@pytest.mark.slow
def test_the_agreement_is_told_and_a_collapse_too(quantize):
    ended = quantize(bits="w8a8")
    assert re.search(r"agreement with float \d+\.\d% on 8 calibration images", ended.err)
    assert "collapsed" not in ended.err
    ended = quantize("--method", "joint", "--lr-scales", 3, "--steps", 8, "--batch-size", 2)
    assert ended.code == 0
    assert "warning: the model has collapsed: it agrees with the float one on fewer" in ended.err


@pytest.mark.slow
def test_a_run_that_diverges_writes_nothing(quantize, tmp_path):
    ended = quantize("--method", "joint", "--lr-weights", "1e38", "--steps", 3, "--batch-size", 2)
    assert (ended.code, ended.out) == (1, "")
    last = ended.err.splitlines()[-1]
    assert re.match(r"vitquant: training diverged: .* at step \d;.* lower --lr-weights", last)
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rtn", "joint"])
def test_the_same_seed_gives_the_same_bytes(method, quantize, tmp_path):
    for name in ("a", "b"):
        short = () if method == "rtn" else ("--method", method, "--steps", 2, "--batch-size", 4)
        assert quantize(*short, "--out", tmp_path / name).code == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_noise_calibrates_too(quantize):
    assert quantize("--calib", "noise", "--json").json["calib"] == "noise"


def test_layers_have_bits_of_their_own(quantize, vitquant):
    chosen = ("--patch-embed-bits", "w4a16", "--head-bits", "W6A6")
    layers = vitquant("inspect", quantize(*chosen).out.strip(), "--json").json["layers"]
    bits = {r["name"]: (r["weight_bits"], r["activation_bits"]) for r in layers}
    assert bits["patch_embed.proj"] == (4, 16)
    assert bits["head"] == (6, 6)
    assert bits["blocks.0.mlp.fc1"] == (4, 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "part"), [("per-head", "left.scale"), ("prefix-scales", "prefix_scale")]
)
def test_parts_have_scales_of_their_own_or_not(name, part, quantize, tmp_path):
    def found(*arguments):
        assert quantize("--out", tmp_path / "a.safetensors", *arguments).code == 0
        tensors = load_file(tmp_path / "a.safetensors")
        return {name for name, t in tensors.items() if name.endswith(part) and t.dim()}

    assert found(f"--{name}")
    assert not found(f"--no-{name}")


def test_class_tokens_may_have_more_bits(quantize, vitquant):
    ended = quantize("--prefix-bits", 8)
    assert "class tokens a8" in ended.err
    layers = vitquant("inspect", ended.out.strip(), "--json").json["layers"]
    bits = {r["name"]: r["prefix_bits"] for r in layers if r["kind"] != "matmul"}
    assert bits["blocks.0.mlp.fc1"] == 8
    assert bits["patch_embed.proj"] == bits["head"] == 0
    assert "4 (8)" in vitquant("inspect", ended.out.strip()).out


def test_bits_that_class_tokens_cannot_have(quantize):
    quantize("--prefix-bits", 3).refused("--prefix-bits: 3", "w4a4: 4, 5, 6, 7, 8")
    quantize("--prefix-bits", 9).refused("--prefix-bits: 9", "4, 5, 6, 7, 8")
    quantize("--prefix-bits", 8, "--no-prefix-scales").refused("--prefix-bits:", "--prefix-scales")
    quantize("--prefix-bits", 8, bits="w4a16").refused("--prefix-bits:", "leave it out")
    quantize("--prefix-bits", 8, model="swin_digits").refused("--prefix-bits: swin_digits has no")


def test_activations_may_be_integers_of_16_bits(quantize, vitquant):
    path = quantize(bits="W8I16").out.strip()
    found = vitquant("inspect", path, "--json").json
    assert found["bits"] == "w8i16"
    assert {(r["activation_bits"], r["signed_activations"]) for r in found["layers"]} == {
        (16, True)
    }
    table = vitquant("inspect", path).out
    assert "i16" in next(line for line in table.splitlines() if "blocks.0.attn.qkv" in line)
    assert "--bits w8i16" in table
    for name in ("--per-head", "--prefix-scales"):
        quantize(name, bits="w8i16").refused(f"{name}: --bits w8i16 does not use it")
    quantize("--prefix-bits", 8, bits="w8i16").refused("--prefix-bits:")
    quantize(bits="w8i8").refused("--bits: 'w8i8' is not a bit width", "w8i16")


@pytest.mark.slow
def test_a_model_is_rotated_first(quantize, vitquant, tmp_path):
    path = tmp_path / "rotated.safetensors"
    assert quantize("--rotate", "--out", path, bits="w8a8").code == 0
    scored = vitquant("eval", path, "--data", "digits", "--reference", "float", "--json")
    assert scored.json["agreement"] > 0.9
    # What follows a normalisation has taken over what that multiplied by.
    norm = load_file(path)["blocks.0.norm1.weight"].float()
    assert (norm == 1).all()


def test_a_model_that_cannot_be_rotated(quantize):
    quantize("--rotate", model="swin_digits").refused("--rotate: swin_digits is not a ViT")


@pytest.mark.parametrize("bits", ["w5", "w0a4", "w4a99", "w4a4x", ""])
def test_bits_that_do_not_exist(bits, quantize):
    quantize(bits=bits).refused(f"--bits: {bits!r}", "1.58, 2, 3, 4, 5, 6, 7, 8", "w4a4")
    quantize("--head-bits", bits).refused("--head-bits:", "w4a4")
    quantize("--patch-embed-bits", bits).refused("--patch-embed-bits:", "w4a4")


def test_numbers_that_cannot_be(quantize):
    quantize("--samples", 0).refused("--samples: 0", "1 or more")
    quantize("--batch-size", -1).refused("--batch-size: -1", "1 or more")
    quantize("--min-crop", 1.5).refused("--min-crop: 1.5", "0 to 1")
    quantize("--lr-weights", "nan").refused("--lr-weights: nan")
    quantize("--seed", -1).refused("--seed: -1")
    quantize("--steps", "many").refused("--steps", "integer")


def test_a_method_that_does_not_exist(quantize):
    quantize("--method", "gptq").refused("--method: 'gptq'", "joint", "rtn")


def test_a_device_that_does_not_exist(quantize):
    quantize("--device", "abacus").refused("--device: 'abacus'", "cpu")


def test_a_model_that_does_not_exist(quantize):
    quantize(model="vit_digit").refused("MODEL: 'vit_digit'", "did you mean vit_digits?")
    quantize(model="deit_smal").refused("MODEL: 'deit_smal'", "did you mean deit_small?")
    quantize(model="nothing/like/it").refused("MODEL: 'nothing/like/it'", "accepted:")
    quantize(model="missing.safetensors").refused("MODEL: missing.safetensors")


def test_a_checkpoint_is_not_quantized_again(quantize, checkpoint):
    quantize(model=checkpoint).refused(f"MODEL: {checkpoint} is a file", "--weights")


def test_options_that_are_missing_or_unknown(vitquant):
    vitquant("quantize", "vit_digits", "--calib", "digits").refused("--bits")
    vitquant("quantize", "vit_digits", "--colour", "red").refused("--colour", "quantize --help")


def test_an_empty_folder(quantize, tmp_path):
    (tmp_path / "empty").mkdir()
    quantize("--calib", tmp_path / "empty").refused("--calib", "empty", "no images", ".jpg")


def test_a_source_that_does_not_exist(quantize):
    quantize("--calib", "digitz").refused("--calib", "'digitz'", "did you mean digits?")


def test_a_corrupt_picture(quantize, spoiled, digits_by_class):
    whole = next(digits_by_class.glob("zero/*.png")).read_bytes()
    folder = spoiled("broken.png", whole[: len(whole) // 2])
    quantize("--calib", folder, "--samples", 100).refused("--calib", "broken.png")


def test_a_text_among_the_pictures(quantize, spoiled):
    folder = spoiled("notes.jpg", b"remember the milk\n" * 50)
    quantize("--calib", folder, "--samples", 100).refused("--calib", "notes.jpg", "not an image")


def test_local_weights(quantize, vitquant):
    path = quantize("--weights", weights_path("vit_digits"), model="vit_digits").out.strip()
    assert vitquant("inspect", path).code == 0


def test_weights_of_another_class_count(quantize, tmp_path):
    tensors = load_file(weights_path("vit_digits"))
    tensors["head.weight"], tensors["head.bias"] = torch.zeros(7, 96), torch.zeros(7)
    save_file(tensors, tmp_path / "seven.safetensors")
    quantize("--weights", tmp_path / "seven.safetensors").refused(
        "--weights", "7 classes, the model 10", "--num-classes 7"
    )
    assert quantize("--weights", tmp_path / "seven.safetensors", "--num-classes", 7).code == 0


@pytest.mark.parametrize("calib", ["synthetic", "template"])
def test_classes_without_names(calib, quantize, tmp_path):
    tensors = load_file(weights_path("vit_digits"))
    tensors["head.weight"], tensors["head.bias"] = torch.zeros(7, 96), torch.zeros(7)
    save_file(tensors, tmp_path / "seven.safetensors")
    given = ("--weights", tmp_path / "seven.safetensors", "--num-classes", 7)
    quantize(*given, "--calib", calib).refused(
        f"--calib: {calib}", "does not say what its classes are called", "inversion or a folder"
    )


def test_weights_that_are_cut_short_or_foreign(quantize, tmp_path):
    path = tmp_path / "w.safetensors"
    quantize("--weights", path).refused("--weights", "is not a file")
    path.write_bytes(weights_path("vit_digits").read_bytes()[:5000])
    quantize("--weights", path).refused("--weights", "not a readable safetensors file", "cut short")
    quantize("--weights", weights_path("swin_digits")).refused("--weights")
    tensors = load_file(weights_path("vit_digits"))
    del tensors["pos_embed"]
    save_file(tensors, path)
    quantize("--weights", path).refused("--weights", "lacks pos_embed", "1 names missing")


def test_an_out_that_cannot_be_written(quantize, tmp_path):
    quantize("--out", tmp_path / "none" / "a").refused("--out", "none", "does not exist")
    quantize("--out", tmp_path).refused("--out", "is a folder", "path of a file")


def test_a_full_disk_keeps_the_old_file(quantize, tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    path.write_text("precious")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("vitquant.core.files.os.fsync", full)
    quantize("--out", path).refused("--out", "No space left on device", "bytes of free space")
    assert path.read_text() == "precious"
    assert os.listdir(tmp_path) == ["a.safetensors"]


def program(*arguments):
    return [sys.executable, "-m", "vitquant", *map(str, arguments)]


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_behind(digits_by_class, tmp_path):
    arguments = ("--calib", digits_by_class, "--steps", 100000, "--batch-size", 4)
    command = program("quantize", "vit_digits", "--bits", "w4a4", *arguments)
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    announced = [process.stderr.readline() for _ in range(2)]
    assert "100000 steps" in "".join(announced)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "vitquant: interrupted; nothing was written"
    assert "Traceback" not in err
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_a_pipeline(digits_by_class, tmp_path):
    folder = shlex.quote(str(digits_by_class))
    vitquant = shlex.join(program())
    quantize = f"{vitquant} quantize vit_digits --bits w8a8 --method rtn --calib {folder}"
    run = subprocess.run(
        f"{quantize} | {vitquant} eval - --data {folder} && "
        f"ls *.safetensors | xargs -I FILE {vitquant} inspect FILE --json",
        shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    scores, inspected = run.stdout.splitlines()
    assert re.fullmatch(r"top1 \d\.\d{4} top5 \d\.\d{4}", scores)
    assert inspected.startswith("{")
    assert os.listdir(tmp_path) == ["vit_digits-w8a8.safetensors"]
