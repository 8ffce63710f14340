"""Options that messages name."""

import ast
import re
from pathlib import Path

import typer

import vitquant
from vitquant.cli.main import app

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
COMMANDS = typer.main.get_command(app).commands
# Programs with options of their own.
APART = ("train.py", "train_generator.py", "measure_generator.py")


def named(file: Path) -> set[str]:
    """The options in what a file raises."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    raised = [node for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc]
    texts = [
        node.value
        for one in raised
        for node in ast.walk(one)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return {option for text in texts for option in OPTION.findall(text)}


def test_every_option_in_a_message_is_one():
    known = {o for c in COMMANDS.values() for p in c.params for o in (*p.opts, *p.secondary_opts)}
    files = Path(vitquant.__file__).parent.rglob("*.py")
    unknown = {file.name: named(file) - known for file in files if file.name not in APART}
    assert {name: options for name, options in unknown.items() if options} == {}
