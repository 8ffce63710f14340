"""Learned embeddings: their gradients are right, and only they move."""

import copy

import pytest
import torch

from vitquant.config.groups.prompts import PromptSettings
from vitquant.synthesis.diffusion.class_learner import ClassLearner
from vitquant.synthesis.diffusion.generator import Generator
from vitquant.synthesis.diffusion.learn import _show, gradients, learn_prompts
from vitquant.synthesis.quality import Classifier


@pytest.fixture(scope="module")
def classifier(model):
    return Classifier(model, "cpu")


def settings(**changes):
    return PromptSettings.build(
        **{"prompts_per_class": 3, "steps": 3, "batch_size": 6, "target_confidence": 1.0} | changes
    )


@pytest.mark.parametrize(
    "weights",
    [
        {"ce_weight": 1.0},
        {"prompt_diversity": 1.0},
        {"image_diversity": 1.0},
        {"text_weight": 1.0},
    ],
)
@pytest.mark.parametrize("prompts", [1, 3])
def test_gradients_are_those_of_finite_differences(weights, prompts, chosen, exact):
    """Through classifier, decoder, U-Net and text encoder; with one prompt, other noises count."""
    none = dict.fromkeys(("ce_weight", "prompt_diversity", "image_diversity", "text_weight"), 0.0)
    config = settings(**none | weights, prompts_per_class=prompts, images_per_prompt=2)
    generator, classifier = exact
    learner = ClassLearner(generator, chosen[1], config)
    learner.start = learner.start.double()
    places = learner.to_look_at()

    def outputs(rows):
        ((part, logits, features),) = _show(generator, classifier, rows, batch_size=6)
        return part, logits, features

    direction = torch.randn(learner.start.shape, generator=torch.Generator().manual_seed(0))
    direction = direction.double().masked_fill((learner.positions < 0).unsqueeze(-1), 0)
    at = learner.start + 0.1 * direction.roll(1, -1)
    learner.learned = [row.clone().requires_grad_() for row in at]
    with torch.no_grad():
        learner.look(*outputs([(learner, m, learner.drawn_noise(m, p)) for m, p in places])[1:])

    def loss(offset):
        learner.learned = [row.requires_grad_() for row in at + offset * direction]
        value = gradients(*outputs([(learner, m, learner.next_noise(m)) for m in range(prompts)]))
        of_prompts = learner.prompt_loss()
        of_prompts.backward()
        return value + of_prompts.item(), torch.stack([row.grad for row in learner.learned])

    step = 1e-5
    slope = (loss(step)[0] - loss(-step)[0]) / (2 * step)
    assert (loss(0.0)[1] * direction).sum().item() == pytest.approx(slope, rel=1e-3, abs=1e-9)
    if prompts > 1 or "prompt_diversity" not in weights:
        assert abs(slope) > 1e-7


def test_nothing_but_the_embeddings_changes(generator, classifier, model, chosen):
    before = copy.deepcopy([*generator.parameters(), *model.module.parameters()])
    learned = next(iter(learn_prompts(generator, classifier, chosen[:1], settings())))
    after = [*generator.parameters(), *model.module.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    start = generator.embeddings(learned.ids.gather(-1, learned.positions.long().clamp_min(0)))
    used = learned.positions >= 0
    assert not torch.equal(learned.learned.float()[used], start[used])


def test_a_class_does_not_depend_on_its_neighbors(generator, classifier, chosen):
    together = list(learn_prompts(generator, classifier, chosen, settings(batch_size=9)))
    alone = next(iter(learn_prompts(generator, classifier, chosen[1:2], settings(batch_size=3))))
    torch.testing.assert_close(together[1].learned, alone.learned, atol=5e-3, rtol=5e-3)
    assert torch.equal(together[1].ids, alone.ids)


def test_the_same_seed_learns_the_same(generator, classifier, chosen):
    first, again = (
        next(iter(learn_prompts(generator, classifier, chosen[:1], settings()))) for _ in range(2)
    )
    other = next(iter(learn_prompts(generator, classifier, chosen[:1], settings(seed=1))))
    assert torch.equal(first.learned, again.learned)
    assert first.after == again.after
    assert not torch.equal(first.learned, other.learned)


def test_a_pull_towards_the_text_keeps_prompts_near_it(generator, classifier, chosen):
    def distance(weight):
        found = next(
            iter(
                learn_prompts(
                    generator, classifier, chosen[:1], settings(text_weight=weight, steps=10)
                )
            )
        )
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
        return next(iter(learn_prompts(generator, classifier, chosen[:1], config))).after.similarity

    assert similarity(10.0) < similarity(0.0)


def test_good_texts_stay_as_they_are(generator, classifier, chosen):
    """And the images looked at are all that is spent."""
    config = settings(target_confidence=1e-9, max_similarity=1.0)
    for learned in learn_prompts(generator, classifier, chosen, config):
        assert (learned.steps, learned.images) == ([0, 0, 0], 3 * config.images_per_prompt)
        assert learned.after == learned.before
        start = generator.embeddings(learned.ids.gather(-1, learned.positions.long().clamp_min(0)))
        torch.testing.assert_close(learned.learned.float(), start, atol=1e-3, rtol=1e-3)


def test_alike_images_are_not_good_enough(generator, classifier, chosen):
    config = settings(target_confidence=1e-9, max_similarity=-1.0)
    learned = next(learn_prompts(generator, classifier, chosen[:1], config))
    assert learned.steps == [3, 3, 3]


def test_learning_stops_and_hard_prompts_take_what_is_left(generator, classifier, chosen):
    learner = ClassLearner(generator, chosen[0], settings(target_confidence=0.5, patience=2))
    learner._logits = torch.zeros(3, 2, 10)
    learner._bank = torch.zeros(3, 2, 4)
    sure, unsure = torch.zeros(10), torch.zeros(10)
    sure[0] = 9.0
    while learner.training:
        for m in learner.training:
            logits = (sure if m < 2 else unsure).clone().requires_grad_()
            learner.image_loss(m, logits, torch.ones(4)).backward()
            learner.learned[m].grad = torch.ones_like(learner.learned[m])
        learner.update()
    # 2 steps of patience; the last takes what the others left of 9, or twice --steps at most.
    assert learner.steps == [2, 2, 5]


def test_classes_replace_each_other_and_end_bit_for_bit_as_alone(generator, classifier, chosen):
    config = settings(target_confidence=0.1, patience=1, prompts_per_class=2, batch_size=4)
    together = {p.index: p for p in learn_prompts(generator, classifier, chosen, config)}
    assert sorted(together) == [0, 1, 2]
    for target in chosen:
        alone = next(learn_prompts(generator, classifier, [target], config))
        assert torch.equal(alone.learned, together[target.index].learned)
        assert (alone.steps, alone.images) == (
            together[target.index].steps,
            together[target.index].images,
        )


def test_every_finished_prompt_is_reported(generator, classifier, chosen):
    said = []
    list(learn_prompts(generator, classifier, chosen[:1], settings(), said.append))
    assert said == ["3 steps"] * 3
