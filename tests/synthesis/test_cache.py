"""What was made before is used again, unless it is damaged or of other settings."""

import shutil

import pytest

from vitquant.config.groups.prompts import PromptSettings
from vitquant.core.progress import Silent
from vitquant.synthesis import job
from vitquant.synthesis.diffusion.learn_job import PromptLearner


class Listener(Silent):
    def __init__(self):
        self.warnings, self.tracked = [], 0

    def warn(self, message):
        self.warnings.append(message)

    def track(self, items, total, what):
        self.tracked += total
        yield from items


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(job.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def ignored(seconds):
    pass


def test_prompts_are_learned_once_and_again_if_damaged(folder, model, generator, chosen):
    learner = PromptLearner(
        model, generator, chosen, PromptSettings.build(prompts_per_class=2, steps=1, batch_size=6)
    )
    assert not job.is_cached(learner)
    path = job.run_cached(learner, Silent(), ignored).path
    assert job.is_cached(learner)
    assert path.parent == folder / "prompts"
    whole = path.read_bytes()
    for damaged in (False, True):
        path.write_bytes(whole[:100] if damaged else whole)
        listener = Listener()
        assert job.run_cached(learner, listener, ignored).path == path
        assert path.read_bytes() == whole
        assert bool(listener.tracked) is damaged
        assert [str(path) in warning for warning in listener.warnings] == [True] * damaged


@pytest.fixture
def sampled(sampler, finished, folder):
    """The images of a sampler, put into the cache as if it had made them there."""
    place = job._place(sampler())
    shutil.copytree(finished.path, place)
    return place


@pytest.mark.parametrize("damage", ["image", "index", "run"])
def test_damaged_images_are_reported_and_made_again(damage, sampler, sampled, finished):
    names = {"image": finished.rows[2]["file_name"], "index": "metadata.jsonl"}
    file = sampled / names.get(damage, "vitquant.json")
    whole = file.read_bytes()
    file.write_bytes(whole[:20])
    listener = Listener()
    job.run_cached(sampler(), listener, ignored)
    assert file.read_bytes() == whole
    assert len(listener.warnings) == 1
    assert str(sampled) in listener.warnings[0]


def test_whole_images_are_used_again(sampler, sampled):
    listener = Listener()
    images = job.run_cached(sampler(), listener, ignored)
    assert (images.path, listener.tracked, listener.warnings) == (sampled, 0, [])
