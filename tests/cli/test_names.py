"""Names that are not UTF-8, which no checkpoint, index or JSON can hold."""

import io
import os
import sys

import pytest
import typer

import vitquant as package
from vitquant.cli.main import app
from vitquant.core.errors import UserError
from vitquant.data.sources.digits import digits

NAME = "caf\udce9"
SHOWN = r"'caf\udce9' is not UTF-8"
QUANTIZE = ["quantize", "vit_digits", "--bits", "w8a8", "--method", "rtn", "--samples", "4"]
COMMANDS = typer.main.get_command(app).commands


TEXTS = [
    (name, parameter)
    for name, command in COMMANDS.items()
    for parameter in command.params
    if parameter.metavar not in (None, "N", "X")
]


@pytest.mark.parametrize(("name", "parameter"), TEXTS, ids=lambda x: getattr(x, "name", x))
def test_every_option_refuses_it_before_any_work(name, parameter, vitquant, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{NAME}\n"))
    arguments = {p.name: p for p in COMMANDS[name].params}
    words = [name]
    if parameter.opts[0].startswith("--"):
        words += ["x" for p in arguments.values() if not p.opts[0].startswith("--")]
        words += [parameter.opts[0], NAME]
        vitquant(*words).refused(f"{parameter.opts[0]}: {SHOWN}")
        return
    vitquant(*words, NAME).refused(f"{parameter.metavar}: {SHOWN}")
    if name not in ("bench", "quantize"):
        required = {"eval": ["--data", "digits"], "analyze": ["--bits", "w4a4"]}
        vitquant(*words, "-", *required.get(name, [])).refused(SHOWN)


def test_stdin_refuses_it(vitquant, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9\n"), "utf-8"))
    vitquant("inspect", "-").refused("MODEL: -", "UTF-8")


def test_keywords_refuse_it_too(tmp_path):
    with pytest.raises(UserError, match=r"^calib: .* is not UTF-8"):
        package.quantize("vit_digits", "w8a8", NAME, method="rtn")
    with pytest.raises(UserError, match=r"^data: .* is not UTF-8"):
        package.evaluate("vit_digits", NAME)
    with pytest.raises(UserError, match=r"^FILE: .* is not UTF-8"):
        package.evaluate(f"{NAME}.onnx", "digits")
    with pytest.raises(UserError, match=r"^out: .* is not UTF-8"):
        package.export("ck.safetensors", tmp_path / NAME)


def test_files_in_a_folder_may_have_any_name(vitquant, tmp_path):
    for i, (image, label) in enumerate(digits("test")[:8]):
        folder = tmp_path / "photos" / f"{NAME}{label}"
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{NAME}{i}.png")
    ended = vitquant(*QUANTIZE, "--calib", "photos", "--out", "x.safetensors")
    assert (ended.code, ended.out) == (0, "x.safetensors\n")
    vitquant("eval", "vit_digits", "--data", "photos").refused(r"caf\udce9")
    (folder / f"{NAME}.png").write_bytes(b"no image")
    vitquant(*QUANTIZE, "--samples", 100, "--calib", "photos").refused(r"caf\udce9.png")


@pytest.mark.slow
def test_the_current_folder_may_be_called_so(vitquant, tmp_path, monkeypatch):
    here = tmp_path / NAME
    here.mkdir()
    monkeypatch.chdir(here)
    assert vitquant(*QUANTIZE, "--calib", "digits").code == 0
    assert vitquant("inspect", "vit_digits-w8a8.safetensors", "--json").json["bits"] == "w8a8"
    assert vitquant("export", "vit_digits-w8a8.safetensors", "--images", 2).code == 0
    assert sorted(os.listdir()) == ["vit_digits-w8a8.onnx", "vit_digits-w8a8.safetensors"]
