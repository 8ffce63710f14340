"""Settings declared once: type, default, help, check, and what uses them.

From it come the option, the keyword in Python, the key in a recipe, and a line of the reference.
"""

import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, ClassVar, NamedTuple, Self, TypeVar, dataclass_transform

from vitquant.config.declare import SameAs, UsedBy, setting
from vitquant.config.naming import KEYWORDS, OPTIONS, Naming
from vitquant.config.values import When, cast
from vitquant.core.errors import UserError
from vitquant.core.files import check_name

S = TypeVar("S", bound="Settings")


class Recipe(NamedTuple):
    """Settings read from a file. source: its name, for messages."""

    source: str
    values: dict[str, Any]


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(setting,))
class Settings:
    """A group of settings. A class may inherit from several groups; its last base comes first.

    The docstring of a group is its title in the help. ``build`` is the only constructor that code
    uses.
    """

    used_by: ClassVar[UsedBy] = {}
    """As of :func:`setting`, for the group's settings that say nothing of their own."""

    naming: ClassVar[Naming] = KEYWORDS
    """How whoever built the settings writes them, for messages about them."""

    recipe: ClassVar[str | None] = None
    """The name of the recipe that the settings were built with."""

    given: ClassVar[frozenset[str]] = frozenset()
    """Names of the settings that whoever built them gave, in no recipe."""

    chosen: ClassVar[Mapping[str, Any]] = types.MappingProxyType({})
    """The settings that were given, in a recipe or not."""

    def __init_subclass__(cls) -> None:
        dataclasses.dataclass(frozen=True, kw_only=True)(cls)

    @classmethod
    def build(cls, recipe: Recipe | None = None, naming: Naming = KEYWORDS, **given: Any) -> Self:
        """The defaults, overridden by the recipe, overridden by what is given and not None.

        Args:
            recipe: from :func:`vitquant.config.recipe.read_recipe`.
            naming: how whoever calls writes settings.

        Raises:
            UserError: there is no such setting, a value is not accepted, or it would have no effect
                with the others.
        """
        values = {} if recipe is None else dict(recipe.values)
        prefix = "" if recipe is None else f"{naming.option('recipe')}: {recipe.source}: "
        labels = {name: prefix + name for name in values}
        given = {name: value for name, value in given.items() if value is not None}
        values, labels = values | given, labels | {name: naming.option(name) for name in given}
        for name, value in values.items():
            values[name] = cls._checked(name, value, labels[name])
        for name, field in cls.fields().items():
            others = field.metadata["instead"]
            if field.metadata["required"] and not {name, *others} & set(values):
                beside = f", as are {' and '.join(map(naming.option, others))}" if others else ""
                label, what = naming.option(name), field.metadata["help"]
                raise UserError(f"{label}: it is missing{beside}; {what}")
        resolved = cls._resolved(values)
        for name in values:
            if not cls.is_used(name, resolved):
                raise UserError(f"{labels[name]}: {cls._why_unused(name, resolved, naming)}")
        settings = cls(**resolved)
        object.__setattr__(settings, "naming", naming)
        object.__setattr__(settings, "recipe", None if recipe is None else recipe.source)
        object.__setattr__(settings, "given", frozenset(given))
        object.__setattr__(settings, "chosen", values)
        settings.check(labels)
        return settings

    def changed(self, **others: Any) -> Self:
        """As if ``others`` had been given in place of what was; None takes back what was given."""
        built = self.build(None, self.naming, **{**self.chosen, **others})
        object.__setattr__(built, "recipe", self.recipe)
        return built

    def check(self, labels: Mapping[str, str]) -> None:
        """Check settings against each other. labels: of what was given, by name, for messages."""

    @classmethod
    def cases(cls, values: Mapping[str, Any]) -> set[str]:
        """Which keys of ``unless`` apply: words that follow "for" in the help."""
        return set()

    @classmethod
    def fields(cls) -> dict[str, dataclasses.Field[Any]]:
        """The settings by name, in the order of the help."""
        return {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]

    @classmethod
    def group(cls, name: str) -> type["Settings"]:
        """The group that a setting was declared in first."""
        return [c for c in cls.__mro__ if name in inspect.get_annotations(c)][-1]

    @classmethod
    def type_of(cls, name: str) -> type:
        """The type of a setting's values, None aside."""
        hint = typing.get_type_hints(cls)[name]
        kind: type = typing.get_args(hint)[0] if isinstance(hint, types.UnionType) else hint
        return kind

    @classmethod
    def uses(cls, name: str) -> UsedBy:
        """``used_by`` of a setting, its own or its group's, as far as this class has the others."""
        fields = cls.fields()
        own = fields[name].metadata["used_by"]
        uses = cls.group(name).used_by if own is None else own
        return {other: accepted for other, accepted in uses.items() if other in fields}

    @classmethod
    def is_used(cls, name: str, values: Mapping[str, Any]) -> bool:
        """Whether a setting has an effect. values: of all settings."""
        uses = cls.uses(name)
        return not uses or any(
            values[other] in accepted and cls.is_used(other, values)
            for other, accepted in uses.items()
        )

    def values(self) -> dict[str, Any]:
        """All settings, by name."""
        return {name: getattr(self, name) for name in self.fields()}

    def used(self) -> dict[str, Any]:
        """The settings that have an effect, by name."""
        values = self.values()
        return {name: value for name, value in values.items() if self.is_used(name, values)}

    def part(self, kind: type[S], **others: Any) -> S:
        """Settings of another kind, with what has an effect in both. others: the rest."""
        common = {name: v for name, v in self.used().items() if name in kind.fields()}
        return kind.build(naming=self.naming, **common | others)

    def to_json(self) -> dict[str, Any]:
        """The settings that have an effect, as values of JSON."""
        plain = (bool, int, float, str, type(None))
        return {n: v if isinstance(v, plain) else str(v) for n, v in self.used().items()}

    @classmethod
    def describe(cls, name: str, naming: Naming = OPTIONS) -> str:
        """A line for the help and for the reference page."""
        field = cls.fields()[name]
        about, words = field.metadata, [field.metadata["help"]]
        if about["choices"] and not about["flags"]:
            words.append(f"One of {', '.join(about['choices'])}.")
        wanted = cls._wanted(name, naming) if about["used_by"] else ""
        if wanted and wanted != naming.option(name):
            words.append(f"Only with {wanted}.")
        defaults = {} if field.default is None or field.default is False else {"": field.default}
        defaults |= {f" for {case}": other for case, other in about["unless"].items()}
        if defaults and not about["flags"]:
            shown = "; ".join(_shown(value, naming) + case for case, value in defaults.items())
            words.append(f"(default: {shown})")
        return " ".join(words)

    @classmethod
    def _checked(cls, name: str, value: Any, label: str) -> Any:
        fields = cls.fields()
        if name not in fields:
            near = get_close_matches(name, fields, 1)
            accepted = f"{near[0]} is one" if near else f"accepted: {', '.join(fields)}"
            raise UserError(f"{label}: there is no such setting; {accepted}")
        about = fields[name].metadata
        if isinstance(value, str):
            check_name(value, label)
        value = cast(value, cls.type_of(name), label, about["check"])
        if (choices := about["choices"]) and value not in choices:
            raise UserError(f"{label}: {value!r} is not one; accepted: {', '.join(choices)}")
        return value

    @classmethod
    def _resolved(cls, values: dict[str, Any]) -> dict[str, Any]:
        """``values`` with a default for each setting that is missing."""
        fields = cls.fields()
        resolved = {name: field.default for name, field in fields.items()} | values
        cases = cls.cases({name: _followed(value, resolved) for name, value in resolved.items()})
        for name, field in fields.items():
            for case, other in field.metadata["unless"].items():
                if name not in values and case in cases:
                    resolved[name] = other
        return {name: _followed(value, resolved) for name, value in resolved.items()}

    @classmethod
    def _wanted(cls, name: str, naming: Naming) -> str:
        """What a setting goes with, such as ``--method joint or block``."""
        found = []
        for other, accepted in cls.uses(name).items():
            flags = bool(cls.fields()[other].metadata["flags"])
            if isinstance(accepted, When):
                found.append(f"{naming.option(other)} {accepted.words}".strip())
                continue
            found.append(naming.choice(other, accepted[0], flags))
            found += [naming.also(value, flags) for value in accepted[1:]]
        return " or ".join(found)

    @classmethod
    def _why_unused(cls, name: str, values: Mapping[str, Any], naming: Naming) -> str:
        uses, wanted = cls.uses(name), cls._wanted(name, naming)
        first = next(iter(uses))
        other, value = cls.fields()[first], values[first]
        if value in uses[first]:  # but it has no effect itself
            return cls._why_unused(first, values, naming)
        flags = bool(other.metadata["flags"])
        if not value or (flags and value == other.default):
            return f"it goes with {wanted}; add that, or leave it out"
        current = naming.choice(first, value, flags)
        if flags and other.default in uses[first]:
            return f"{current} does not use it; leave one of them out"
        return f"{current} does not use it; leave it out, or choose {wanted}"


def _followed(value: Any, values: Mapping[str, Any]) -> Any:
    while isinstance(value, SameAs):
        value = values[value.name]
    return value


def _shown(value: Any, naming: Naming) -> str:
    if isinstance(value, SameAs):
        return f"that of {naming.option(value.name)}"
    return ("on" if value else "off") if isinstance(value, bool) else str(value)
