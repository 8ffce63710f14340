"""The program as a whole: version, help, exit codes."""

import json
import os
import subprocess
import sys

import pytest
import typer

import vitquant as package
from vitquant.cli.main import app, main
from vitquant.core.errors import UserError

SLOW = {"torch", "timm", "onnx", "transformers", "diffusers", "huggingface_hub", "numpy"}
COMMANDS = typer.main.get_command(app).commands


def test_the_version(vitquant):
    ended = vitquant("--version")
    assert (ended.code, ended.out) == (0, f"{package.__version__}\n")


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_the_help_names_every_option(command, vitquant):
    ended = vitquant(command, "--help")
    assert ended.code == 0
    for parameter in COMMANDS[command].params:
        for name in parameter.opts:
            assert (name if name.startswith("-") else name.upper()) in ended.out
    assert "\x1b" not in ended.out


def test_the_help_of_the_program_names_every_command(vitquant):
    for ended in (vitquant("--help"), vitquant()):
        assert all(command in ended.out for command in ("quantize", "eval", "inspect"))
    assert vitquant("--help").code == 0


def test_a_command_that_does_not_exist(vitquant):
    vitquant("quantise").refused("quantise", "vitquant --help")
    vitquant("--colour").refused("--colour", "vitquant --help")


def test_debug_shows_the_traceback(vitquant, tmp_path):
    with pytest.raises(UserError):
        vitquant("--debug", "inspect", tmp_path / "none")
    assert vitquant("inspect", tmp_path / "none").code == 2


def test_an_interruption_is_one_line(vitquant, monkeypatch):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("vitquant.checkpoint.read.read_checkpoint", interrupted)
    ended = vitquant("inspect", "file")
    assert (ended.code, ended.out) == (130, "")
    assert ended.err == "vitquant: interrupted; nothing was written\n"


def test_a_bug_is_not_hidden(monkeypatch):
    def broken(path):
        raise ZeroDivisionError

    monkeypatch.setattr("vitquant.checkpoint.read.read_checkpoint", broken)
    with pytest.raises(ZeroDivisionError):
        main(["inspect", "file"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        *([name, "--help"] for name in sorted(COMMANDS)),
        ["quantize", "vit_digits"],
        ["quantize", "vit_digits", "--bits", "w5"],
        ["quantize", "vit_digits", "--bits", "w4a4", "--method", "rtn", "--steps", "5"],
        ["quantize", "vit_digits", "--bits", "w4a4", "--recipe", "none"],
        ["quantize", "vit_digits", "--bits", "w4a4", "--method", "rtn", "--resume"],
        ["quantize", "vit_digits", "--colour", "red"],
        ["eval", "vit_digits", "--data", "digits", "--min-top1", "2"],
        ["export", "file", "--format", "safetensors", "--opset", "21"],
        ["inspect", "file", "--json", "--recipe"],
        ["bench", "file", "--calib", "digits"],
        ["synthesize", "vit_digits", "--iterations", "2"],
        ["learn-prompts", "vit_digits", "--steps", "0"],
    ],
    ids=" ".join,
)
def test_a_quick_answer_imports_nothing_slow(arguments, started):
    assert started(arguments) == []


@pytest.fixture(scope="session")
def _slow_modules():
    """One process that runs them all and tells after each what it has imported."""
    code = (
        "import json, sys; from contextlib import redirect_stderr, redirect_stdout; import io\n"
        "from vitquant.cli.main import main\n"
        f"slow = {SLOW}\n"
        "for line in sys.stdin:\n"
        "    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):\n"
        "        main(json.loads(line))\n"
        "    print(json.dumps(sorted(slow & set(sys.modules))), flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.stdin.close()
    process.wait(60)


@pytest.fixture
def started(_slow_modules):
    """started(arguments) → which slow modules a process that ran them has imported so far."""

    def run(arguments):
        _slow_modules.stdin.write(json.dumps(arguments) + "\n")
        _slow_modules.stdin.flush()
        return json.loads(_slow_modules.stdout.readline())

    return run


def test_beside_others_the_process_ends_at_once():
    """Not by way of the interpreter's end, where threads of the process group may be in the way."""
    text = (
        "import atexit, sys; atexit.register(print, 'late'); sys.argv = ['vitquant', *sys.argv[1:]]"
        "; from vitquant.cli.entry import run; run()"
    )
    alone = os.environ | {"TORCHELASTIC_RUN_ID": "", "WORLD_SIZE": "1"}
    del alone["TORCHELASTIC_RUN_ID"]
    for environment, late in ((alone, "late\n"), (alone | {"TORCHELASTIC_RUN_ID": "x"}, "")):
        for argument, code in (("--version", 0), ("nonsense", 2)):
            ended = subprocess.run(
                [sys.executable, "-c", text, argument],
                env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert ended.returncode == code
            assert ended.stdout.endswith(late)
            assert ("late" in ended.stdout) == bool(late)
            assert code == 0 or "nonsense" in ended.stderr
