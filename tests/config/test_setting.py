"""What every class of settings does."""

import pickle
import subprocess
import sys
from types import MappingProxyType

import pytest

from vitquant.config.declare import SameAs, setting
from vitquant.config.naming import OPTIONS
from vitquant.config.setting import Recipe, Settings
from vitquant.config.values import AT_LEAST_1, FRACTION, When
from vitquant.core.errors import UserError


class Kind(Settings):
    """Options"""

    kind: str = setting("slow", "How.", choices=("slow", "fast", "wild"))
    turbo: bool = setting(True, "Faster still.", used_by={"kind": ("fast", "wild")})


class Numbers(Settings):
    """Numbers"""

    used_by = MappingProxyType({"kind": ("slow", "fast")})

    count: int = setting(3, "How many.", AT_LEAST_1, unless={"the wild": 30, "the fast": 5})
    share: float = setting(0.5, "How much.", FRACTION, used_by={})
    other: float | None = setting(SameAs("share"), "How much else.", used_by={"name": When()})
    boost: int = setting(0, "With turbo.", used_by={"turbo": (True,)})
    name: str | None = setting(None, "Whose.", used_by={})


class Both(Numbers, Kind):
    """Two groups."""

    @classmethod
    def cases(cls, values):
        return {f"the {values['kind']}"}


def test_what_is_given_wins_over_the_recipe_which_wins_over_defaults():
    recipe = Recipe("mine.toml", {"count": 7, "share": 1, "kind": "fast"})
    found = Both.build(recipe, count=8, share=None)
    assert (found.count, found.share, found.kind, found.name) == (8, 1.0, "fast", None)
    assert isinstance(found.share, float)


def test_defaults_follow_cases_and_other_settings():
    assert Both.build().count == 3
    assert Both.build(kind="fast").count == 5
    assert Both.build(kind="fast", count=3).count == 3
    assert Both.build(share=0.25).other == 0.25


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"count": 0}, "count: 0 is not 1 or more"),
        ({"count": "many"}, "count: 'many' is not a whole number, 1 or more"),
        ({"count": True}, "count: True is not a whole number, 1 or more"),
        ({"count": 2.0}, "count: 2.0 is not a whole number, 1 or more"),
        ({"share": 1.1}, "share: 1.1 is not from 0 to 1"),
        ({"share": float("nan")}, "share: nan is not from 0 to 1"),
        ({"kind": "lazy"}, "kind: 'lazy' is not one; accepted: slow, fast, wild"),
        ({"kind": 3}, "kind: 3 is not text"),
        ({"turbo": 1, "kind": "fast"}, "turbo: 1 is not true or false"),
        ({"cuont": 1}, "cuont: there is no such setting; count is one"),
        ({"x": 1}, "x: there is no such setting; accepted: kind, turbo, count"),
    ],
)
def test_what_is_not_accepted_is_named(given, words):
    with pytest.raises(UserError) as error:
        Both.build(**given)
    assert str(error.value).startswith(words)
    with pytest.raises(UserError) as error:
        Both.build(Recipe("mine.toml", given), OPTIONS)
    assert str(error.value).startswith(f"--recipe: mine.toml: {words}")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"count": 1, "kind": "wild"},
            "--count: --kind wild does not use it; leave it out, or choose --kind slow or fast",
        ),
        ({"other": 0.5}, "--other: it goes with --name; add that, or leave it out"),
        (
            {"boost": 1},  # turbo has no effect itself
            "--boost: --kind slow does not use it; leave it out, or choose --kind fast or wild",
        ),
        (
            {"boost": 1, "turbo": False, "kind": "fast"},
            "--boost: it goes with --turbo; add that, or leave it out",
        ),
    ],
)
def test_what_has_no_effect_is_refused(given, words):
    with pytest.raises(UserError) as error:
        Both.build(naming=OPTIONS, **given)
    assert str(error.value) == words


def test_messages_write_names_as_the_caller_does():
    with pytest.raises(UserError, match=r"^count: kind='wild' does not use it; leave it out, or "):
        Both.build(count=1, kind="wild")
    with pytest.raises(UserError, match=r"^recipe: a.toml: count: kind='wild' does not use it"):
        Both.build(Recipe("a.toml", {"count": 1}), kind="wild")


def test_only_what_has_an_effect_is_stored():
    assert list(Both.build().to_json()) == ["kind", "count", "share", "name"]
    assert list(Both.build(kind="wild", name="a").to_json()) == [
        "kind", "turbo", "share", "other", "boost", "name",
    ]  # fmt: skip


def test_a_line_of_help_has_all_defaults_and_what_uses_it():
    assert Both.describe("count") == "How many. (default: 3; 30 for the wild; 5 for the fast)"
    assert Both.describe("turbo") == "Faster still. Only with --kind fast or wild. (default: on)"
    assert Both.describe("other") == "How much else. Only with --name. (default: that of --share)"


def test_a_part_has_what_both_classes_have():
    found = Both.build(naming=OPTIONS, kind="fast", turbo=False).part(Kind)
    assert found == Kind.build(kind="fast", turbo=False)
    assert found.naming is OPTIONS


def test_settings_can_be_pickled():
    found = Kind.build(kind="fast", naming=OPTIONS)
    assert pickle.loads(pickle.dumps(found)) == found


def test_settings_import_nothing_slow():
    code = (
        "import sys, vitquant.config.recipe, vitquant.config.export\n"
        "print([m for m in ('torch', 'typer', 'timm', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
