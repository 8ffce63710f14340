"""The program as a whole: version, help, exit codes."""

import pytest
import typer

import vitquant as package
from vitquant.cli.main import app, main
from vitquant.core.errors import UserError

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

    monkeypatch.setattr("vitquant.cli.inspect.read_checkpoint", interrupted)
    ended = vitquant("inspect", "file")
    assert (ended.code, ended.out) == (130, "")
    assert ended.err == "vitquant: interrupted; nothing was written\n"


def test_a_bug_is_not_hidden(monkeypatch):
    def broken(path):
        raise ZeroDivisionError

    monkeypatch.setattr("vitquant.cli.inspect.read_checkpoint", broken)
    with pytest.raises(ZeroDivisionError):
        main(["inspect", "file"])
