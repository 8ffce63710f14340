"""Options of a command, made from a class of settings."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from vitquant.config.bits import Bits
from vitquant.config.bits.layer_bits import LayerBits
from vitquant.config.naming import OPTIONS
from vitquant.config.setting import Settings
from vitquant.config.values import Patterns
from vitquant.core.errors import UserError

Command = Callable[..., None]

Recipe = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="TOML file of settings, or the name of a bundled one such as quick; options here win.",
    ),
]
_METAVARS = {int: "N", float: "X"}
_FIRST = "Options"


def options(kind: type[Settings], *, recipe: bool = False) -> Callable[[Command], Command]:
    """Give a command an option for each setting of ``kind``, in place of its ``settings``.

    The command is called with the settings that were built from them. Options of the first group
    come where ``settings`` stands, the others last, in a titled group each.

    Args:
        recipe: whether ``--recipe`` is accepted too.
    """

    def decorate(command: Command) -> Command:
        def run(**arguments: Any) -> None:
            values = {n: arguments.pop(n) for n in made if n in arguments}
            found = None
            if (name := arguments.pop("recipe", None)) is not None:
                from vitquant.config.recipe import read_recipe

                found = read_recipe(name)
            # An option that may be repeated and is not there is an empty list.
            given = {name: None if value == [] else value for name, value in values.items()}
            settings = kind.build(found, OPTIONS, **_joined(kind, given))
            command(settings=settings, **arguments)

        signature = inspect.signature(command, eval_str=True).parameters.values()
        made = {p.name: p for name in kind.fields() for p in _parameters(kind, name)}
        first = [p for p in made.values() if _panel(p) is None]
        if recipe:
            first.append(_parameter("recipe", Recipe))
        own_panels = {p.name for p in signature if p.name != "settings" and _panel(p) is not None}
        parameters: list[inspect.Parameter] = []
        for parameter in signature:
            own = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            parameters += first if parameter.name == "settings" else [own]
        parameters += [p for p in made.values() if _panel(p) is not None]
        parameters.sort(key=lambda p: p.name in own_panels)
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        return run

    return decorate


def _parameters(kind: type[Settings], name: str) -> list[inspect.Parameter]:
    """The options of a setting: one, or one for each choice that is an option of its own."""
    about, title = kind.fields()[name].metadata, kind.group(name).__doc__
    panel = None if title == _FIRST else title
    if about["flags"]:
        default = kind.fields()[name].default
        return [
            _parameter(
                choice,
                Annotated[bool, typer.Option(f"--{choice}", help=what, rich_help_panel=panel)],
                False,
            )
            for choice, what in about["flags"].items()
            if choice != default
        ]
    of = kind.type_of(name)
    flag = OPTIONS.option(name)
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if of is bool else flag,
        metavar=about["metavar"] or _METAVARS.get(of),
        help=kind.describe(name),
        rich_help_panel=panel,
    )
    given: Any = {Bits: str, Patterns: list[str], LayerBits: list[str]}.get(of, of)
    given = str if hasattr(of, "parse") else given
    return [_parameter(name, Annotated[given | None, option])]


def _parameter(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=default, annotation=annotation)


def _panel(parameter: inspect.Parameter) -> str | None:
    panel: str | None = parameter.annotation.__metadata__[0].rich_help_panel
    return panel or None


def _joined(kind: type[Settings], values: dict[str, Any]) -> dict[str, Any]:
    """The settings that options give: a choice that is an option of its own is a value of its
    setting."""
    for name, field in kind.fields().items():
        choices = set(field.metadata["flags"] or ()) - {field.default}
        flags = [choice for choice in choices if values.pop(choice, False)]
        if len(flags) > 1:
            first, second = sorted(map(OPTIONS.option, flags))[:2]
            raise UserError(f"{second}: cannot be combined with {first}; one of them is accepted")
        if flags:
            values[name] = flags[0]
    return values
