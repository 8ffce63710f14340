"""An output that is an input, or no plain file, is refused by every command before any work."""

import os

import pytest

from vitquant.core.files import Input, check_writable
from vitquant.data.sources.digits import digits

QUANTIZE = ["quantize", "vit_digits", "--bits", "w8a8"]
READS = {
    "FILE": ["export", "x", "--out"],
    "--weights": [*QUANTIZE, "--weights", "x", "--out"],
    "--calib": [*QUANTIZE, "--calib", "x.tar", "--out"],
    "--prompts": [*QUANTIZE, "--prompts", "x", "--out"],
    "--recipe": [*QUANTIZE, "--recipe", "x", "--out"],
    "--generator": [*QUANTIZE, "--generator", "x", "--out"],
    "export --weights": ["export", "ck", "--weights", "x", "--out"],
    "export --data": ["export", "ck", "--data", "x.tar", "--out"],
    "compressed FILE": ["export", "x", "--format", "safetensors", "--out"],
    "bench FILE": ["bench", "ck", "x.json", "--out"],
    "bench --weights": ["bench", "ck", "--model", "vit_digits", "--weights", "x.json", "--out"],
    "bench --calib": ["bench", "ck", "--model", "vit_digits", "--calib", "x.json", "--out"],
    "bench --data": ["bench", "ck", "--data", "x.json", "--out"],
    "bench --reference": ["bench", "ck", "--data", "y", "--reference", "ck,x.json", "--out"],
    "learn-prompts --classes": ["learn-prompts", "vit_digits", "--classes", "x", "--out"],
    "learn-prompts --weights": ["learn-prompts", "vit_digits", "--weights", "x", "--out"],
    "synthesize --prompts": ["synthesize", "vit_digits", "--prompts", "x", "--out"],
    "synthesize --real-images": ["synthesize", "vit_digits", "--real-images", "x.tar", "--out"],
}  # fmt: skip
WRITES = {
    "quantize": QUANTIZE,
    "export": ["export", "ck"],
    "export --format": ["export", "ck", "--format", "safetensors"],
    "bench": ["bench", "ck"],
    "learn-prompts": ["learn-prompts", "vit_digits"],
    "synthesize": ["synthesize", "vit_digits", "--inversion"],
}


@pytest.fixture(autouse=True)
def no_work(monkeypatch):
    """Neither a model nor a checkpoint may be opened."""

    def opened(*_, **__):
        raise AssertionError("work was begun")

    for name in ("quantize.load_float", "synthesize.load_float", "export.read_checkpoint"):
        monkeypatch.setattr(f"vitquant.workflows.{name}", opened)
    monkeypatch.setattr("vitquant.workflows.bench.load_onnx", opened)


@pytest.mark.parametrize("option", READS)
def test_what_is_read_is_not_replaced(option, vitquant, tmp_path):
    file = next(arg for arg in READS[option][::-1] if arg.split(",")[-1].startswith("x"))
    file = tmp_path / file.split(",")[-1]
    file.write_text("seed = 1\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / f"symbolic{file.suffix}").symlink_to(file)
    os.link(file, tmp_path / f"hard{file.suffix}")
    for out in (
        file.name,
        file,
        f"folder/../{file.name}",
        f"symbolic{file.suffix}",
        f"hard{file.suffix}",
    ):
        vitquant(*READS[option], out).refused("--out", option.split()[-1], str(file.name))
        assert file.read_text() == "seed = 1\n"


def test_neither_is_a_file_of_the_model(vitquant, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    config, weights = folder / "config.json", folder / "model.safetensors"
    config.write_text('{"model_type": "vit"}')
    weights.touch()
    for out in (config, weights):
        asked = ("quantize", folder, "--bits", "w8a8", "--out", out)
        vitquant(*asked).refused("--out", f"is part of MODEL {folder}")
    vitquant("synthesize", folder, "--out", folder).refused("--out", f"is MODEL {folder}")


@pytest.mark.parametrize("option", ["--calib", "--generator", "export --data"])
def test_neither_is_a_file_of_a_folder_that_is_read(option, vitquant, tmp_path):
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere.png"
    (folder / "class").mkdir(parents=True)
    (folder / "circle").symlink_to(folder)
    image = folder / "class" / "1.png"
    image.write_bytes(b"1")
    elsewhere.write_bytes(b"2")
    (folder / "class" / "2.png").symlink_to(elsewhere)
    (folder / "class" / "lost.png").symlink_to("nowhere")
    arguments = [folder if str(a).startswith("x") else a for a in READS[option]]
    for out in (image, elsewhere):
        vitquant(*arguments, out).refused("--out", f"is part of {option.split()[-1]} {folder}")
    assert (image.read_bytes(), elsewhere.read_bytes()) == (b"1", b"2")


def test_a_result_may_lie_among_images_and_be_written_again(tmp_path):
    (tmp_path / "a.safetensors").touch()
    images = Input("--calib", tmp_path, images=True)
    check_writable(tmp_path / "a.safetensors", inputs=[images])
    check_writable(tmp_path / "new.png", inputs=[images])


def test_a_folder_of_images_takes_no_place_of_what_is_read(vitquant, tmp_path):
    real = tmp_path / "real"
    (real / "zero").mkdir(parents=True)
    image = next(iter(digits("test")))[0]
    image.save(real / "zero" / "a.png")
    (tmp_path / "link").symlink_to(real)
    arguments = ["synthesize", "vit_digits", "--inversion", "--real-images", real, "--out"]
    for out in (real, "real", "link"):
        vitquant(*arguments, out).refused("--out", f"is --real-images {real}")
    vitquant(*arguments, tmp_path).refused("--out", f"contains --real-images {real}")
    # Its contact sheet lies beside it.
    vitquant(*arguments, real / "zero" / "a").refused(
        "--out", f"a.png is part of --real-images {real}"
    )
    vitquant("synthesize", "vit_digits", "--inversion", "--out", real).refused(
        "--out", "is something else"
    )
    assert sorted(os.listdir(tmp_path)) == ["link", "real"]
    assert os.listdir(real / "zero") == ["a.png"]


@pytest.mark.parametrize("command", WRITES)
def test_what_is_no_plain_file_is_not_replaced(command, vitquant, tmp_path):
    ending = ".json" if command == "bench" else ""
    pipe, folder = tmp_path / f"pipe{ending}", tmp_path / f"folder{ending}"
    os.mkfifo(pipe)
    folder.mkdir()
    (folder / "file").touch()
    (tmp_path / f"link{ending}").symlink_to(pipe)
    (tmp_path / f"circle{ending}").symlink_to(f"circle{ending}")
    device = tmp_path / f"device{ending}"
    device.symlink_to("/dev/null")
    for out in (pipe, folder, f"link{ending}", f"circle{ending}", device):
        vitquant(*WRITES[command], "--out", out).refused("--out", "accepted")
    vitquant(*WRITES[command], "--out", f"{'n' * 252}{ending}").refused("--out: nnn", "too long")
    vitquant(*WRITES[command], "--out", f"folder{ending}/file/x{ending}").refused("--out")
    assert pipe.is_fifo()
    assert device.is_symlink()
    assert os.listdir(folder) == ["file"]
    assert len(os.listdir(tmp_path)) == 5
