"""Options that are made from settings."""

import pytest
import typer

from vitquant.cli.main import app
from vitquant.config.evaluate import EvaluateSettings
from vitquant.config.export import ExportSettings
from vitquant.config.quantize import QuantizeSettings
from vitquant.config.synthesize import LearnPromptsSettings, SynthesizeSettings

COMMANDS = typer.main.get_command(app).commands
RTN = ("quantize", "vit_digits", "--method", "rtn", "--calib", "digits", "--samples", 8)


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("quantize", QuantizeSettings),
        ("eval", EvaluateSettings),
        ("export", ExportSettings),
        ("synthesize", SynthesizeSettings),
        ("learn-prompts", LearnPromptsSettings),
    ],
)
def test_every_setting_is_an_option(command, kind):
    found = {parameter.name for parameter in COMMANDS[command].params}
    flags = {f for field in kind.fields().values() for f in field.metadata["flags"] or ()}
    assert {name for name, field in kind.fields().items() if not field.metadata["flags"]} <= found
    assert flags - {"prompts"} <= found


def test_what_a_newcomer_needs_comes_first(vitquant):
    shown = vitquant("quantize", "--help").out
    first, rest = shown.partition("Calibration images ─")[::2]
    for option in ("--bits", "--calib", "--method", "--out", "--seed", "--device"):
        assert f" {option} " in first
    assert "Learning rates (joint, block)" in rest


def test_a_recipe_fills_in_what_is_not_given(vitquant, tmp_path):
    (tmp_path / "mine.toml").write_text('[basics]\nbits = "w8a8"\nseed = 7\ninit_images = 4\n')
    found = vitquant(*RTN, "--recipe", "mine.toml", "--seed", 8, "--json").json
    assert (found["bits"], found["seed"], found["settings"]["init_images"]) == ("w8a8", 8, 4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps = 5", "mine.toml: steps: --method rtn does not use it; leave it out, or choose"),
        ("seed = 'x'", "mine.toml: seed: 'x' is not a whole number, from 0 to 2**63 - 1"),
        ("sede = 1", "mine.toml: sede: there is no such setting; seed is one"),
        ("[", "mine.toml is not TOML: "),
    ],
)
def test_a_recipe_that_cannot_be_used(text, words, vitquant, tmp_path):
    (tmp_path / "mine.toml").write_text(text)
    vitquant(*RTN, "--bits", "w8a8", "--recipe", "mine.toml").refused(f"--recipe: {words}")


def test_what_has_no_effect_is_refused(vitquant):
    vitquant(*RTN, "--bits", "w8a8", "--yes").refused("--yes: --calib digits generates nothing")
    vitquant(*RTN, "--bits", "w8a8", "--steps", 5).refused("--steps: --method rtn does not use it")
