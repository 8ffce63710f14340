"""``vitquant export --push-to-hub``, as a user runs it."""

import json
import os
import subprocess
import sys

import pytest

NAME = "someone/vit-digits-w4a4"


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "vitquant", "export", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_it_exports_verifies_and_uploads(hub, checkpoint, token, tmp_path):
    out = tmp_path / "model.onnx"
    done = run(
        checkpoint, "--out", out, "--images", 8, "--push-to-hub", NAME, "--json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["hub"]["url"] == f"{hub.url}/{NAME}"
    files = hub.repositories[NAME].files
    assert files["model.onnx"] == out.read_bytes()
    assert files["model.safetensors"] == checkpoint.read_bytes()
    assert b"--push-to-hub" in files["README.md"]
    assert token not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--push-to-hub", "nobody"), "--push-to-hub: 'nobody' names no repository"),
        (("--private",), "--private: it says how --push-to-hub uploads"),
        (("--push-to-hub", NAME, "--format", "safetensors"), "--format onnx is accepted"),
        (("--format", "tflite"), "--format: 'tflite' is not known; onnx, safetensors"),
    ],
)
def test_bad_input_is_refused_before_any_work(arguments, words, checkpoint, tmp_path):
    done = run(checkpoint, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr.splitlines()[-1]
    assert os.listdir(tmp_path) == []


def test_other_conventions_are_a_folder(checkpoint, tmp_path):
    done = run(checkpoint, "--format", "safetensors", "--out", tmp_path / "folder", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'folder'}\n"), done.stderr
    assert (tmp_path / "folder" / "config.json").is_file()
