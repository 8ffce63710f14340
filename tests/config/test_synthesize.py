"""The settings of making images."""

import pytest

from vitquant.config.groups.prompts import PromptSettings
from vitquant.config.naming import OPTIONS
from vitquant.config.synthesize import (
    DiffusionSettings,
    InversionSettings,
    LearnPromptsSettings,
    SynthesizeSettings,
)
from vitquant.core.errors import UserError


def build(**given):
    return SynthesizeSettings.build(naming=OPTIONS, **given)


def test_each_way_of_making_images_has_settings_of_its_own():
    assert build(batch_size=3).part(DiffusionSettings) == DiffusionSettings.build(batch_size=3)
    inverted = build(synthesizer="inversion", iterations=5, crops=False)
    assert inverted.part(InversionSettings) == InversionSettings.build(iterations=5, crops=False)
    assert (build().samples, inverted.samples) == (1024, 128)
    learned = LearnPromptsSettings.build(steps=3, generator="sd-digits", precision="float32")
    assert learned.part(PromptSettings) == PromptSettings.build(steps=3)
    assert set(PromptSettings.build().to_json()) == {
        "prompts_per_class", "steps", "lr", "ce_weight", "prompt_diversity", "image_diversity",
        "text_weight", "batch_size", "seed",
        "target_confidence", "max_similarity", "patience", "images_per_prompt",
    }  # fmt: skip


def test_a_text_is_a_template():
    assert build(text="a {}").synthesizer == "template"
    with pytest.raises(UserError, match=r"^--adjectives: the text says it"):
        build(text="a {}", adjectives=False)


@pytest.mark.parametrize(
    "given", [{"prompts": "a"}, {"text": "{}"}, {"synthesizer": "template", "adjectives": False}]
)
def test_there_are_as_many_prompts_as_the_file_or_the_text_has(given):
    with pytest.raises(UserError, match=r"^--prompts-per-class: there are as many"):
        build(prompts_per_class=3, **given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"iterations": 5}, "--iterations: it goes with --inversion; add that, or leave it out"),
        ({"adjectives": False}, "--adjectives: it goes with --template; add that"),
        (
            {"min_crop": 0.5, "synthesizer": "template"},
            "--min-crop: --template does not use it; leave it out, or choose --inversion",
        ),
        (
            {"min_crop": 0.5, "synthesizer": "inversion", "crops": False},
            "--min-crop: it goes with --crops",
        ),
        (
            {"min_confidence": 0.5, "synthesizer": "inversion"},
            "--min-confidence: --inversion does not use it; leave one of them out",
        ),
        ({"max_attempts": 2}, "--max-attempts: it goes with --min-confidence; add that"),
        (
            {"prompts": "a", "synthesizer": "template"},
            "--prompts: --template does not use it; leave one of them out",
        ),
        (
            {"text": "a", "synthesizer": "inversion"},
            "--text: --inversion does not use it; leave it out, or choose --template",
        ),
        ({"min_confidence": 1.0}, "--min-confidence: 1.0 is not from 0 up to, but without, 1"),
        ({"min_crop": 0.0, "synthesizer": "inversion"}, "--min-crop: 0.0 is not above 0"),
    ],
)
def test_what_has_no_effect_or_no_sense_is_refused(given, words):
    with pytest.raises(UserError) as error:
        build(**given)
    assert str(error.value).startswith(words)


def test_the_help_names_no_setting_that_a_command_lacks():
    """``learn-prompts`` has one synthesizer, and no option for it."""
    assert "Only with" not in LearnPromptsSettings.describe("decoder")
