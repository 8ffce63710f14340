"""Run the program in this process, on small folders of digits."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import typer

from vitquant.cli.main import app, main
from vitquant.data.sources.digits import CLASS_NAMES, digits

COMMANDS = typer.main.get_command(app).commands
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


class Ended(NamedTuple):
    """How a run ended: its exit code and what it wrote."""

    code: int
    out: str
    err: str
    command: str = ""

    @property
    def json(self):
        """The one object on stdout."""
        assert self.out.count("\n") == 1
        return json.loads(self.out)

    def refused(self, *words: str) -> None:
        """Ended with code 2, nothing on stdout, and one line that contains all ``words``."""
        assert self.code == 2, self
        assert self.out == ""
        assert "Traceback" not in self.err
        last = self.err.splitlines()[-1]
        assert last.startswith("vitquant: ")
        assert len([line for line in self.err.splitlines() if line.startswith("vitquant: ")]) == 1
        assert all(word in last for word in words), last
        lacking = {name for name in OPTION.findall(last) if not self._has(name, last)}
        assert not lacking, last

    def _has(self, option: str, message: str) -> bool:
        """Whether the command that was run has an option, or one that the message names has."""
        commands = [name for name in COMMANDS if name in (self.command, *message.split())]
        known = [o for c in commands for p in COMMANDS[c].params for o in p.opts + p.secondary_opts]
        return option in (self.command, "--help", "--version", *known) or option in message[:40]


@pytest.fixture
def vitquant(capsys, monkeypatch, tmp_path):
    """vitquant(*arguments) → how the program ended, run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(*arguments) -> Ended:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Ended(code, *capsys.readouterr(), str(arguments[0]) if arguments else "")

    return run


@pytest.fixture
def processes(tmp_path):
    """processes(count, *arguments) → how so many processes of the program ended, in that folder."""

    def run(count: int, *arguments) -> Ended:
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        launcher = [] if count == 1 else torchrun
        ended = subprocess.run(
            [sys.executable, *launcher, "-m", "vitquant", *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr, str(arguments[0]))

    return run


@pytest.fixture(scope="session")
def digits_by_class(tmp_path_factory) -> Path:
    """A folder of twenty digits of the test part, two of each, in folders by name."""
    root = tmp_path_factory.mktemp("digits")
    images = digits("test")
    for label, name in enumerate(CLASS_NAMES):
        (root / name).mkdir()
        for i, image in enumerate([image for image, of in images if of == label][:2]):
            image.save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory, digits_by_class) -> Path:
    """`vit_digits` in 8 bits."""
    path = tmp_path_factory.mktemp("checkpoint") / "vit.safetensors"
    arguments = ["--method", "rtn", "--calib", str(digits_by_class), "--out", str(path)]
    assert main(["quantize", "vit_digits", "--bits", "w8a8", *arguments]) == 0
    return path


@pytest.fixture
def spoiled(tmp_path, digits_by_class):
    """spoiled(name, data) → a copy of the folder in which one file holds ``data``."""

    def make(name: str, data: bytes) -> Path:
        root = tmp_path / "spoiled"
        for path in digits_by_class.glob("*/*"):
            copy = root / path.parent.name / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
        (root / "zero" / name).write_bytes(data)
        return root

    return make
