"""All classes' prompts in one file, whatever interrupted the run."""

import pytest

from vitquant.errors import UserError
from vitquant.progress import Silent
from vitquant.synthesis.diffusion.learn_job import Learning, learn_prompts
from vitquant.synthesis.diffusion.prompt_file import read_prompts, write_prompts
from vitquant.synthesis.settings import LearnSettings


@pytest.fixture
def learning(model, generator, chosen):
    return Learning(model, generator, chosen, LearnSettings(2, steps=2, batch_size=2))


class Stopping(Silent):
    """Raises KeyboardInterrupt at a step."""

    def __init__(self, at):
        self.at = at

    def track(self, items, total, what):
        for i, item in enumerate(items):
            if i == self.at:
                raise KeyboardInterrupt
            yield item


def test_the_file_holds_every_class_and_what_it_was_made_with(learning, tmp_path):
    path = tmp_path / "p.safetensors"
    file = learn_prompts(learning, path, Silent())
    assert list(file.prompts) == [0, 1, 2]
    assert file.header["generator"] == learning.generator.identity.to_json()
    assert file.header["model"]["weights_sha256"] == learning.model.identity.weights_sha256
    assert file.header["settings"]["prompts_per_class"] == 2
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_an_interrupted_run_ends_with_the_same_file(stop, learning, tmp_path):
    learn_prompts(learning, tmp_path / "whole", Silent())
    with pytest.raises(KeyboardInterrupt):
        learn_prompts(learning, tmp_path / "p", Stopping(stop))
    assert not (tmp_path / "p").exists()
    kept = list((tmp_path / ".p.parts").glob("*.safetensors"))
    # The step that raised was over: its class is not, if it was not the last.
    assert len(kept) == stop // 2
    learn_prompts(learning, tmp_path / "p", Silent())
    assert (tmp_path / "p").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_piece_that_was_cut_short_is_learned_again(learning, tmp_path):
    learn_prompts(learning, tmp_path / "whole", Silent())
    with pytest.raises(KeyboardInterrupt):
        learn_prompts(learning, tmp_path / "p", Stopping(4))
    (piece, *_) = (tmp_path / ".p.parts").glob("*.safetensors")
    piece.write_bytes(piece.read_bytes()[:50])
    learn_prompts(learning, tmp_path / "p", Silent())
    assert (tmp_path / "p").read_bytes() == (tmp_path / "whole").read_bytes()


def test_pieces_of_another_run_are_not_used(learning, tmp_path, model, generator, chosen):
    other = Learning(model, generator, chosen, LearnSettings(2, steps=2, batch_size=2, seed=5))
    with pytest.raises(KeyboardInterrupt):
        learn_prompts(other, tmp_path / "p", Stopping(4))
    file = learn_prompts(learning, tmp_path / "p", Silent())
    learn_prompts(learning, tmp_path / "whole", Silent())
    assert (tmp_path / "p").read_bytes() == (tmp_path / "whole").read_bytes()
    assert file.header["settings"]["seed"] == 0


def test_it_can_be_stopped_once_it_is_known_how_long_it_takes(learning, tmp_path, monkeypatch):
    monkeypatch.setattr("vitquant.core.duration._SECONDS", 0)

    def tell(seconds):
        assert seconds > 0
        raise UserError("too long")

    with pytest.raises(UserError, match="too long"):
        learn_prompts(learning, tmp_path / "p", Silent(), tell)
    assert not (tmp_path / "p").exists()


def test_classes_with_few_prompts_share_a_batch(model, generator, chosen):
    groups = Learning(model, generator, chosen, LearnSettings(2, batch_size=5)).groups()
    assert [[s.index for s in group] for group in groups] == [[0, 1], [2]]
    groups = Learning(model, generator, chosen, LearnSettings(20, batch_size=5)).groups()
    assert [len(group) for group in groups] == [1, 1, 1]


def test_a_single_class_can_be_read_back_alone(learning, tmp_path):
    file = learn_prompts(learning, tmp_path / "p", Silent())
    write_prompts(tmp_path / "one", {}, [file.prompts[1]])
    assert list(read_prompts(tmp_path / "one").prompts) == [1]
