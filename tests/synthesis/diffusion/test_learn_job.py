"""All classes' prompts in one file, whatever interrupted the run."""

import pytest

from vitquant.config.groups.prompts import PromptSettings
from vitquant.core.errors import UserError
from vitquant.core.progress import Silent
from vitquant.synthesis.diffusion.learn_job import PromptLearner
from vitquant.synthesis.diffusion.prompt_file import read_prompts, write_prompts
from vitquant.synthesis.diffusion.prompt_sets import LearnedPrompts
from vitquant.synthesis.job import run


@pytest.fixture(scope="module")
def learner(model, generator, chosen):
    return PromptLearner(
        model, generator, chosen, PromptSettings.build(prompts_per_class=2, steps=2, batch_size=2)
    )


@pytest.fixture(scope="module")
def learned(learner, tmp_path_factory):
    """What it learns, and the folder that this leaves."""
    return run(learner, tmp_path_factory.mktemp("learned") / "p.safetensors", Silent())


def test_the_file_holds_every_class_and_what_it_was_made_with(learner, learned):
    assert list(learned.prompts) == [0, 1, 2]
    assert learned.header["generator"] == learner.generator.identity.to_json()
    assert learned.header["model"]["weights_sha256"] == learner.model.identity.weights_sha256
    assert learned.header["settings"]["prompts_per_class"] == 2
    assert list(learned.path.parent.iterdir()) == [learned.path]


@pytest.mark.parametrize("cut_short", [False, True])
def test_an_interrupted_run_ends_with_the_same_file(
    cut_short, learner, learned, tmp_path, stop_after
):
    with pytest.raises(KeyboardInterrupt):
        run(learner, tmp_path / "p", stop_after(4))  # behind the steps of two classes
    # The last step of the second class was counted before it was stored.
    (part,) = (tmp_path / ".p.parts").glob("*.safetensors")
    if cut_short:
        part.write_bytes(part.read_bytes()[:50])
    run(learner, tmp_path / "p", Silent())
    assert (tmp_path / "p").read_bytes() == learned.path.read_bytes()


def test_a_single_class_can_be_read_back_alone(learned, tmp_path):
    write_prompts(tmp_path / "one", {}, [learned.prompts[1]])
    assert list(read_prompts(tmp_path / "one").prompts) == [1]


def test_prompts_of_another_generator_or_other_classes_are_refused(
    learned, tmp_path, generator, chosen
):
    header = {"generator": generator.identity.to_json()}
    write_prompts(tmp_path / "two", header, [learned.prompts[0], learned.prompts[1]])
    prompts = LearnedPrompts(read_prompts(tmp_path / "two"))
    with pytest.raises(UserError, match=r"--prompts: .* has no prompts for 'two'"):
        prompts.check(generator, chosen)
    prompts.file.header["generator"] = {"name": "elsewhere/other", "sha256": "0"}
    with pytest.raises(UserError, match="was learned with the generator 'elsewhere/other'"):
        prompts.check(generator, chosen[:2])


def test_images_are_sampled_from_learned_prompts(sampler, finished, learned, tmp_path):
    prompts = LearnedPrompts(learned)
    prompts.check(sampler().generator, sampler().classes)
    rows = run(sampler(prompts=prompts), tmp_path / "x", Silent()).rows
    for key in ("prompt", "seed"):
        assert [row[key] for row in rows] == [row[key] for row in finished.rows]
    assert [row["sha256"] for row in rows] != [row["sha256"] for row in finished.rows]
