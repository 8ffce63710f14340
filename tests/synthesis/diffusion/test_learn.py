"""Learned embeddings: their gradients are right, and only they move."""

import copy

import pytest
import torch

from vitquant.config.synthesize import PromptSettings
from vitquant.synthesis.diffusion.generator import Generator
from vitquant.synthesis.diffusion.learn import _backward, _begin, learn_prompts
from vitquant.synthesis.quality import Classifier


@pytest.fixture(scope="module")
def classifier(model):
    return Classifier(model, "cpu")


def settings(**changes):
    return PromptSettings.build(**{"prompts_per_class": 3, "steps": 3, "batch_size": 6} | changes)


@pytest.mark.parametrize(
    "weights",
    [
        {"ce_weight": 1.0},
        {"prompt_diversity": 1.0},
        {"image_diversity": 1.0},
        {"text_weight": 1.0},
    ],
)
def test_gradients_are_those_of_finite_differences(weights, generator, classifier, chosen, exact):
    """Through classifier, decoder, U-Net and text encoder."""
    none = dict.fromkeys(("ce_weight", "prompt_diversity", "image_diversity", "text_weight"), 0.0)
    config = settings(**none | weights)
    generator, classifier = exact
    batch = _begin(generator, chosen[:2], config)
    batch.start = batch.start.double()
    direction = torch.randn(batch.start.shape, generator=torch.Generator().manual_seed(0)).double()
    direction[batch.positions < 0] = 0
    at = batch.start + 0.1 * direction.roll(1, 0)

    def loss(offset):
        learned = (at + offset * direction).requires_grad_()
        value = _backward(generator, classifier, batch, learned, config, step=0)
        return value, learned.grad

    step = 1e-5
    slope = (loss(step)[0] - loss(-step)[0]) / (2 * step)
    assert (loss(0.0)[1] * direction).sum().item() == pytest.approx(slope, rel=1e-3)
    assert abs(slope) > 1e-6


def test_nothing_but_the_embeddings_changes(generator, classifier, model, chosen):
    before = copy.deepcopy([*generator.parameters(), *model.module.parameters()])
    learned = learn_prompts(generator, classifier, chosen[:1], settings())[0]
    after = [*generator.parameters(), *model.module.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    start = generator.embeddings(learned.ids.gather(-1, learned.positions.long().clamp_min(0)))
    used = learned.positions >= 0
    assert not torch.equal(learned.learned.float()[used], start[used])


def test_a_class_does_not_depend_on_its_neighbors(generator, classifier, chosen):
    together = learn_prompts(generator, classifier, chosen, settings(batch_size=9))
    alone = learn_prompts(generator, classifier, chosen[1:2], settings(batch_size=3))[0]
    torch.testing.assert_close(together[1].learned, alone.learned, atol=5e-3, rtol=5e-3)
    assert torch.equal(together[1].ids, alone.ids)


def test_the_same_seed_learns_the_same(generator, classifier, chosen):
    first, again = (
        learn_prompts(generator, classifier, chosen[:1], settings())[0] for _ in range(2)
    )
    other = learn_prompts(generator, classifier, chosen[:1], settings(seed=1))[0]
    assert torch.equal(first.learned, again.learned)
    assert first.after == again.after
    assert not torch.equal(first.learned, other.learned)


def test_a_pull_towards_the_text_keeps_prompts_near_it(generator, classifier, chosen):
    def distance(weight):
        found = learn_prompts(
            generator, classifier, chosen[:1], settings(text_weight=weight, steps=10)
        )[0]
        used = found.positions >= 0
        start = generator.embeddings(found.ids.gather(-1, found.positions.long().clamp_min(0)))
        return (found.learned.float() - start)[used].square().mean()

    assert distance(100.0) < 0.5 * distance(0.0)


def test_a_weight_on_diversity_makes_images_less_alike(model, chosen):
    """On the bundled generator, whose images do depend on the text."""
    generator, classifier = (
        Generator.load("sd-digits", "cpu", torch.float32),
        Classifier(model, "cpu"),
    )

    def similarity(weight):
        config = PromptSettings.build(
            prompts_per_class=8, steps=8, image_diversity=weight, batch_size=8
        )
        return learn_prompts(generator, classifier, chosen[:1], config)[0].after.similarity

    assert similarity(10.0) < similarity(0.0)


def test_every_step_is_reported(generator, classifier, chosen):
    steps_done = []
    learn_prompts(generator, classifier, chosen[:1], settings(steps=4), steps_done.append)
    assert len(steps_done) == 4
    assert all(status.startswith("loss ") for status in steps_done)
