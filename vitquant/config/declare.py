"""How a setting is declared."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from vitquant.config.values import Check, When

UsedBy = Mapping[str, tuple[Any, ...] | When]


class SameAs(NamedTuple):
    """A default that is the value of another setting."""

    name: str


def setting(
    default: Any,
    help: str,
    check: Check | None = None,
    *,
    metavar: str | None = None,
    choices: tuple[str, ...] = (),
    unless: Mapping[str, Any] | None = None,
    used_by: UsedBy | None = None,
    flags: Mapping[str, str] | None = None,
    required: bool = False,
    instead: tuple[str, ...] = (),
) -> Any:
    """A field of a :class:`Settings`.

    Args:
        default: a value, :class:`SameAs`, or None for none.
        help: a sentence without the default, which is added.
        check: what is accepted.
        metavar: what the value is called in the help; by default N or X for numbers.
        choices: the values that are accepted.
        unless: other defaults, by the case that they are for; see :meth:`Settings.cases`.
        used_by: the values of other settings with which this one has an effect, one of them being
            enough; those of its group where it is None.
        flags: choices with their help, where each but the default is an option of its own, such as
            ``--inversion``.
        required: whether there has to be a value.
        instead: settings of which one may be there in place of a required one.
    """
    about: dict[str, Any] = {
        "help": help,
        "check": check,
        "metavar": metavar,
        "choices": choices,
        "flags": flags,
    }
    more = {"unless": unless or {}, "used_by": used_by, "required": required, "instead": instead}
    return dataclasses.field(default=default, metadata=about | more)
