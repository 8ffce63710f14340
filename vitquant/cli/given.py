"""Options that would have no effect are refused, not ignored."""

from collections.abc import Collection

import typer

from vitquant.core.errors import UserError


def refuse(context: typer.Context, names: Collection[str], why: str) -> None:
    """Raise a UserError if one of the options, named as parameters, is on the command line."""
    for option in context.command.params:
        # Compared by name: typer brings its own copy of click in some releases.
        source = context.get_parameter_source(option.name)
        if option.name in names and source is not None and source.name == "COMMANDLINE":
            raise UserError(f"{option.opts[0]}: {why}")
