"""How a message writes a setting: as the option of a command, or as the keyword of a function."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Naming:
    """How names and values are written.

    option: of a setting's name. choice: of its name and its value; whether the values of this
    setting are options of their own comes third. also: of a further value, behind a choice.
    """

    option: Callable[[str], str]
    choice: Callable[[str, Any, bool], str]
    also: Callable[[Any, bool], str]


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _option_choice(name: str, value: Any, flag: bool) -> str:
    if flag:
        return _option(value)
    if isinstance(value, bool):
        return _option(name if value else f"no_{name}")
    return f"{_option(name)} {value}"


def _option_also(value: Any, flag: bool) -> str:
    return _option(value) if flag else str(value)


def _keyword_choice(name: str, value: Any, flag: bool) -> str:
    return f"{name}={_keyword_also(value, flag)}"


def _keyword_also(value: Any, flag: bool) -> str:
    return repr(value if isinstance(value, bool | int | float) else str(value))


OPTIONS = Naming(_option, _option_choice, _option_also)
KEYWORDS = Naming(str, _keyword_choice, _keyword_also)
