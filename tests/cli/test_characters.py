"""A stdout or stderr that cannot hold a character: it is escaped, in every command."""

import io
import json
import shutil
import sys

import pytest

from vitquant.cli.main import main

NAME = "写真é"


@pytest.fixture
def in_encoding(tmp_path, monkeypatch):
    """in_encoding(encoding, *arguments) → code, stdout and stderr as bytes."""
    monkeypatch.chdir(tmp_path)

    def run(encoding, *arguments):
        streams = {
            name: io.TextIOWrapper(io.BytesIO(), encoding, "strict", write_through=True)
            for name in ("stdout", "stderr")
        }
        with monkeypatch.context() as patch:
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            code = main([str(argument) for argument in arguments])
        return code, *(stream.buffer.getvalue() for stream in streams.values())

    return run


@pytest.fixture
def photos(tmp_path, digits_by_class):
    """A folder whose name is in no encoding below."""
    shutil.copytree(digits_by_class, tmp_path / NAME)
    return NAME


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_every_command(encoding, in_encoding, photos, tmp_path):
    out = f"{NAME}.safetensors"
    asked = ["--bits", "w8a8", "--method", "rtn", "--samples", "4", "--calib", photos]
    shown = out.encode(encoding, "backslashreplace") + b"\n"
    code, text, log = in_encoding(encoding, "quantize", "vit_digits", *asked, "--out", out)
    assert (code, text) == (0, shown)
    assert photos.encode(encoding, "backslashreplace") in log

    code, text, _ = in_encoding(encoding, "inspect", out, "--json")
    assert code == 0
    assert json.loads(text.decode(encoding))["settings"]["calib"] == NAME
    for option in ([], ["--recipe"]):
        code, text, _ = in_encoding(encoding, "inspect", out, *option)
        assert (code, NAME.encode(encoding, "backslashreplace") in text) == (0, True)

    code, text, _ = in_encoding(encoding, "eval", out, "--data", photos, "--json")
    found = json.loads(text.decode(encoding))
    assert (code, found["model"], found["data"]) == (0, out, NAME)
    assert in_encoding(encoding, "eval", out, "--data", photos)[0] == 0

    code, text, _ = in_encoding(encoding, "export", out, "--images", 2, "--json")
    assert (code, json.loads(text.decode(encoding))["output"]) == (0, f"{NAME}.onnx")
    timed = ["--no-memory", "--repeats", 1, "--runtime", "onnxruntime", "--breakdown"]
    code, text, _ = in_encoding(encoding, "bench", f"{NAME}.onnx", *timed, "--json")
    assert (code, json.loads(text.decode(encoding))["rows"][0]["name"]) == (0, f"{NAME}.onnx")
    assert in_encoding(encoding, "bench", f"{NAME}.onnx", *timed)[0] == 0

    few = ["--samples", 2, "--iterations", 1]
    asked = ["synthesize", "vit_digits", "--inversion", *few, "--out", f"{NAME}2"]
    assert in_encoding(encoding, *asked)[1] == f"{NAME}2\n".encode(encoding, "backslashreplace")
    code, text, _ = in_encoding(encoding, *asked, "--json")
    assert (code, json.loads(text.decode(encoding))["output"]) == (0, f"{NAME}2")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize(
    "command", ["quantize", "eval", "export", "inspect", "bench", "synthesize", "learn-prompts"]
)
def test_help_and_messages(encoding, command, in_encoding):
    code, text, _ = in_encoding(encoding, command, "--help")
    assert (code, b"--json" in text) == (0, True)
    code, text, log = in_encoding(encoding, command, NAME, f"--{NAME}")
    assert (code, text) == (2, b"")
    assert NAME.encode(encoding, "backslashreplace") in log
    assert len(log.splitlines()) == 1
