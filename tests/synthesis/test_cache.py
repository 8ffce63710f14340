"""What was made before is used again, unless it is damaged or of other settings."""

import pytest

from vitquant.progress import Silent
from vitquant.synthesis import cache
from vitquant.synthesis.diffusion.learn_job import Learning
from vitquant.synthesis.diffusion.prompt_sets import TemplateModes
from vitquant.synthesis.diffusion.prompt_text import plain
from vitquant.synthesis.diffusion.sample_job import Synthesis
from vitquant.synthesis.settings import DrawSettings, LearnSettings


class Listening(Silent):
    def __init__(self):
        self.warnings, self.tracked = [], 0

    def warn(self, message):
        self.warnings.append(message)

    def track(self, items, total, what):
        self.tracked += total
        yield from items


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def ignored(seconds):
    pass


def test_prompts_are_learned_once_for_the_same_settings(folder, model, generator, chosen):
    def learn(**changes):
        settings = LearnSettings(2, **{"steps": 1, "batch_size": 6} | changes)
        listener = Listening()
        file = cache.learned(Learning(model, generator, chosen, settings), listener, ignored)
        return file, listener

    first, _ = learn()
    again, listener = learn()
    assert again.path == first.path
    assert listener.tracked == 0
    assert learn(seed=1)[0].path != first.path
    assert first.path.is_relative_to(folder / "prompts")


def test_a_damaged_file_of_prompts_is_told_of_and_learned_again(model, generator, chosen):
    learning = Learning(model, generator, chosen, LearnSettings(2, steps=1, batch_size=6))
    path = cache.learned(learning, Silent(), ignored).path
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    listener = Listening()
    cache.learned(learning, listener, ignored)
    assert path.read_bytes() == whole
    assert len(listener.warnings) == 1
    assert str(path) in listener.warnings[0]


@pytest.mark.parametrize("damage", ["image", "index", "run"])
def test_damaged_images_are_told_of_and_drawn_again(damage, model, generator, chosen):
    synthesis = Synthesis(
        model, generator, chosen, TemplateModes(tuple(plain(1))), DrawSettings(samples=6)
    )
    images = cache.drawn(synthesis, Silent(), ignored)
    files = {
        "image": images.path / images.rows[2]["file_name"],
        "index": images.path / "metadata.jsonl",
        "run": images.path / "vitquant.json",
    }
    whole = files[damage].read_bytes()
    files[damage].write_bytes(whole[:20])
    listener = Listening()
    cache.drawn(synthesis, listener, ignored)
    assert files[damage].read_bytes() == whole
    assert len(listener.warnings) == 1
    listener = Listening()
    cache.drawn(synthesis, listener, ignored)
    assert listener.tracked == 0
