"""``vitquant export --push-to-hub``, in this process."""

import json
import os

import pytest

from vitquant.cli.main import main

NAME = "someone/vit-digits-w4a4"


@pytest.fixture
def export(checkpoint, tmp_path, monkeypatch, capfd):
    """export(*arguments) → exit code, stdout and stderr of `vitquant export` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        words = ["export", *map(str, (checkpoint, *arguments))]
        monkeypatch.setattr("sys.argv", ["vitquant", *words])
        code = main(words)
        return code, *capfd.readouterr()

    return run


@pytest.mark.slow
def test_it_exports_verifies_and_uploads(hub, export, checkpoint, token, tmp_path):
    path = tmp_path / "model.onnx"
    code, out, err = export("--out", path, "--images", 8, "--push-to-hub", NAME, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["hub"]["url"] == f"{hub.url}/{NAME}"
    files = hub.repositories[NAME].files
    assert files["model.onnx"] == path.read_bytes()
    assert files["model.safetensors"] == checkpoint.read_bytes()
    assert b"--push-to-hub" in files["README.md"]
    assert token not in out + err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--push-to-hub", "nobody"), "--push-to-hub: 'nobody' names no repository"),
        (("--private",), "--private: it goes with --push-to-hub"),
        (("--report", "page.html"), "--report: it goes with --push-to-hub"),
        (("--push-to-hub", NAME, "--report", "page.html"), "--report: page.html cannot be read"),
        (("--push-to-hub", NAME, "--format", "safetensors"), "choose --format onnx"),
        (("--format", "tflite"), "--format: 'tflite' is not one; accepted: onnx, safetensors"),
    ],
)
def test_bad_input_is_refused_before_any_work(arguments, words, export, tmp_path):
    code, out, err = export(*arguments)
    assert (code, out) == (2, "")
    assert words in err.splitlines()[-1]
    assert os.listdir(tmp_path) == []


def test_other_conventions_are_a_folder(export, tmp_path):
    code, out, err = export("--format", "safetensors", "--out", tmp_path / "folder")
    assert (code, out) == (0, f"{tmp_path / 'folder'}\n"), err
    assert (tmp_path / "folder" / "config.json").is_file()
