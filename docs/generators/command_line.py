"""The reference of all commands and options, from their declarations."""

from typing import Any

import typer

from vitquant.cli.main import app

_HEAD = (
    "# Commands and options\n\n"
    "<!-- Written by docs/generate.py: edit the declarations in vitquant/config/ instead. -->\n\n"
    "This page lists every option of every command with its default. `vitquant COMMAND --help` "
    "prints the same text.\n\n"
    "- [What the commands print with `--json`](json.md), exit codes and environment variables.\n"
    "- The same settings are [keywords in Python](python.md), with `_` for `-`, and keys in the "
    "TOML file of `--recipe`.\n"
    "- An option that has no effect with the others given is refused, with a message that names "
    "both.\n\n"
    "Options of the program itself stand before the command: `vitquant --debug quantize …`.\n"
)


def page() -> str:
    """The reference of all commands, in Markdown."""
    program = typer.main.get_command(app)
    parts = [_HEAD, *_table(program.params)]
    for name, command in program.commands.items():  # type: ignore[attr-defined]
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        usage = " ".join(["vitquant", name, *(a.metavar or a.name.upper() for a in arguments)])
        parts += [f"\n## `{usage}`\n", command.help, ""]
        parts += [f"`{a.metavar}`: {a.help}\n" for a in arguments]
        options = [p for p in command.params if p.param_type_name == "option"]
        panels = dict.fromkeys(p.rich_help_panel for p in options)
        for panel in panels:
            parts += [f"\n### {panel}\n"] if panel else []
            parts += _table([p for p in options if p.rich_help_panel == panel])
    return "\n".join(parts).replace("\n\n\n", "\n\n") + "\n"


def _table(options: list[Any]) -> list[str]:
    lines = ["| option | |", "| --- | --- |"]
    for option in options:
        names = ", ".join([*option.opts, *option.secondary_opts])
        value = f" {option.metavar}" if option.metavar else ""
        lines.append(f"| `{names}{value}` | {(option.help or '').replace('|', chr(92) + '|')} |")
    return lines
