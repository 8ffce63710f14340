"""What happens before prompts are learned, whichever command learns them."""

import pytest

import vitquant
from vitquant.workflows import calibration_images, learn_prompts, synthesize


class ReachedError(Exception):
    """Ends a run before the long work."""


def run_quantize(folder):
    vitquant.quantize("vit_digits", "w4a4", "synthetic", samples=10, method="rtn")


def run_synthesize(folder):
    vitquant.synthesize("vit_digits", folder / "images", samples=10)


def run_learn_prompts(folder):
    vitquant.learn_prompts("vit_digits", folder / "prompts", steps=1)


@pytest.mark.parametrize(
    ("run", "module"),
    [
        (run_quantize, calibration_images),
        (run_synthesize, synthesize),
        (run_learn_prompts, learn_prompts),
    ],
)
def test_prompts_of_others_are_suggested(run, module, monkeypatch, tmp_path):
    asked = []

    def suggest(model, generator, progress, but=None):
        asked.append((model.name, generator.name))
        raise ReachedError

    monkeypatch.setenv("VITQUANT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "suggest_prompts", suggest)
    with pytest.raises(ReachedError):
        run(tmp_path)
    assert asked == [("vit_digits", "sd-digits")]
