"""Files of weights that are not safetensors."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vitquant.core.errors import UserError
from vitquant.models.weight_files.file_kinds import conversion, what_it_is
from vitquant.models.weights import read_tensors

WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3).t(), "n": torch.tensor(3)}


def run(command: str) -> None:
    folder = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(command, shell=True, check=True, env=environment, timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["w.pth", "a b.bin", 'odd "$HOME" it\'s.ckpt'])
@pytest.mark.parametrize("wrapper", [None, "model", "state_dict"])
def test_the_command_converts(name, wrapper, tmp_path):
    path = tmp_path / name
    wrapped = {"epoch": 3, "args": argparse.Namespace(lr=0.1), wrapper: WEIGHTS}
    torch.save(WEIGHTS if wrapper is None else wrapped, path)
    message = what_it_is(path)
    assert message.startswith("is a pickled PyTorch file, which may run code")
    run(message.partition("with: ")[2])
    found = load_file(path.with_suffix(".safetensors"))
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[name], WEIGHTS[name]) for name in WEIGHTS)


@pytest.mark.slow
def test_the_command_converts_a_script(tmp_path):
    path = tmp_path / "w.pt"
    torch.jit.script(torch.nn.Linear(2, 3)).save(path)
    assert "is a TorchScript file" in what_it_is(path)
    run(conversion(path, scripted=True))
    assert load_file(tmp_path / "w.safetensors").keys() == {"weight", "bias"}


def test_the_old_format_of_torch(tmp_path):
    torch.save(WEIGHTS, tmp_path / "w", _use_new_zipfile_serialization=False)
    assert "python -c" in what_it_is(tmp_path / "w")


def test_the_suffix_does_not_matter(tmp_path):
    torch.save(WEIGHTS, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="pickled PyTorch file"):
        read_tensors(tmp_path / "w.safetensors", "--weights")
    save_file({"a": torch.zeros(1)}, tmp_path / "w.pth")
    assert list(read_tensors(tmp_path / "w.pth", "--weights")) == ["a"]


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (LFS, "is a pointer of Git LFS"),
        (b"<!DOCTYPE html><html></html>", "is a web page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "is an HDF5 file"),
        (b"PK\x03\x04" + bytes(99), "cut short"),
    ],
)
def test_files_by_their_beginning(data, words, tmp_path):
    (tmp_path / "w").write_bytes(data)
    assert words in what_it_is(tmp_path / "w")


def test_numpy(tmp_path):
    np.savez(tmp_path / "w.npz", a=np.zeros(2))
    assert what_it_is(tmp_path / "w.npz").startswith("is a NumPy archive")


@pytest.mark.parametrize("kept", [30, 300, -1])
def test_a_truncated_download(kept, tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(100), "b": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match="it is cut short or damaged"):
        read_tensors(path, "--weights")


def test_what_nobody_knows(tmp_path):
    (tmp_path / "w").write_bytes(b"hello " * 50)
    assert what_it_is(tmp_path / "w") is None
    with pytest.raises(UserError, match="is not a readable safetensors file"):
        read_tensors(tmp_path / "w", "--weights")
