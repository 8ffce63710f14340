"""Learn prompt embeddings through generator and classifier.

Li, Karmann, Urfalioglu (arXiv 2602.18861): several prompts for each class ("modes"), learned so
that the model to be quantized classifies the images correctly, and kept apart twice: as
embeddings, and by the features of their images. The embeddings of the words around the class name
are learned, those of the name stay, as in textual inversion (Gal et al., arXiv 2208.01618).

Classes are learned side by side. One that is finished makes room for the next, so that batches stay
full. All have the same number of rows: then a row's result does not depend on the others, and an
interrupted run, or several processes, end with the same prompts.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from vitquant.config.groups.prompts import PromptSettings
from vitquant.synthesis.diffusion.adapters.base import PromptEmbeds
from vitquant.synthesis.diffusion.class_learner import ClassLearner
from vitquant.synthesis.diffusion.generator import Generator
from vitquant.synthesis.diffusion.prompt_file import ClassPrompts, PromptMetrics
from vitquant.synthesis.quality import Classifier
from vitquant.synthesis.target_classes import TargetClass

# CPU kernels take four rows at a time, and give a row the same bits in any number of fours.
_CPU_ROWS = 4

_Row = tuple[ClassLearner, int, Tensor]
"""A prompt of a class, and the noise of its image."""


def learn_prompts(
    generator: Generator,
    classifier: Classifier,
    classes: Sequence[TargetClass],
    settings: PromptSettings,
    on_finished: Callable[[str], None] = lambda status: None,
) -> Iterator[ClassPrompts]:
    """Prompts for some classes, each as soon as its prompts are learned.

    No class's prompts depend on which others there are. Generator and classifier stay as they are.
    ``on_finished`` is called for every prompt whose learning is over, with the steps in words.
    """
    show = partial(_show, generator, classifier, batch_size=settings.batch_size)
    queue = list(classes)
    active: list[ClassLearner] = []
    learned: list[ClassLearner] = []
    before: dict[int, PromptMetrics] = {}
    of_class = settings.prompts_per_class * settings.images_per_prompt
    side_by_side = -(-settings.batch_size // of_class)
    while queue or active or learned:
        while queue and sum(len(x.training) for x in active) < settings.batch_size:
            new = [ClassLearner(generator, target, settings) for target in queue[:side_by_side]]
            del queue[:side_by_side]
            for learner, metrics in zip(new, _look(show, new), strict=True):
                learner.leave_good()
                for _ in range(settings.prompts_per_class - len(learner.training)):
                    on_finished("text is good")
                if learner.training:
                    before[learner.target.index] = metrics
                    active.append(learner)
                else:
                    yield learner.result(metrics, metrics)
        for learner in _step(show, active, settings.batch_size):
            for m in learner.update():
                on_finished(f"{learner.steps[m]} steps")
            if not learner.training:
                active.remove(learner)
                learned.append(learner)
        if len(learned) >= side_by_side or not active:
            for learner, metrics in zip(learned, _look(show, learned), strict=True):
                yield learner.result(before.pop(learner.target.index), metrics)
            learned.clear()


_Show = Callable[[Sequence[_Row]], Iterator[tuple[Sequence[_Row], Tensor, Tensor]]]


@torch.no_grad()
def _look(show: _Show, learners: Sequence[ClassLearner]) -> list[PromptMetrics]:
    """Metrics of classes, on the images that decide. The embeddings are those of the file."""
    places = [(x, m, place) for x in learners for m, place in x.to_look_at()]
    for learner in learners:
        for row in learner.learned:
            row.copy_(row.half())
    found = [outputs for _, *outputs in show([(x, m, x.drawn_noise(m, p)) for x, m, p in places])]
    if not found:
        return []
    logits, features = (torch.cat(values).float() for values in zip(*found, strict=True))
    counts = [len(learner.to_look_at()) for learner in learners]
    parts = zip(learners, logits.split(counts), features.split(counts), strict=True)
    return [learner.look(*outputs) for learner, *outputs in parts]


def _step(show: _Show, active: Sequence[ClassLearner], batch_size: int) -> list[ClassLearner]:
    """Gradients of one more image of each prompt of some classes; returns these classes.

    The first class, and others as long as all prompts of theirs that are in training fit in.
    """
    rows: list[_Row] = []
    chosen = []
    for x in active:
        if not rows or len(rows) + len(x.training) <= batch_size:
            rows += [(x, m, x.next_noise(m)) for m in x.training]
            chosen.append(x)
    seen = []
    for part, logits, features in show(rows):
        gradients(part, logits, features)
        seen += [(x, m, features[i].float()) for i, (x, m, _) in enumerate(part)]
    for learner, m, values in seen:
        learner.remember(m, values)
    return chosen


def gradients(rows: Sequence[_Row], logits: Tensor, features: Tensor) -> float:
    """Gradients of the loss of some images, from (N, classes) and (N, F); returns the loss."""
    full = torch.promote_types(logits.dtype, torch.float32)
    outputs = list(zip(logits.to(full), features.to(full), strict=True))
    loss = torch.stack([x.image_loss(m, *outputs[i]) for i, (x, m, _) in enumerate(rows)]).sum()
    loss.backward()
    return loss.item()


def _show(
    generator: Generator, classifier: Classifier, rows: Sequence[_Row], *, batch_size: int
) -> Iterator[tuple[Sequence[_Row], Tensor, Tensor]]:
    """Batches of rows with the logits and features of their images."""
    fours = generator.device.type == "cpu" and batch_size % _CPU_ROWS == 0
    unit = _CPU_ROWS if fours else batch_size
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        filled = [*part, *[part[0]] * (-len(part) % unit)]
        logits, features = classifier(_generate(generator, filled))
        yield part, logits[: len(part)], features[: len(part)]


def _generate(generator: Generator, rows: Sequence[_Row]) -> Tensor:
    """An image of each prompt, (N, 3, H, W)."""
    longest = max(learner.positions.shape[1] for learner, _, _ in rows)
    ids = torch.stack([learner.ids[m] for learner, m, _ in rows])
    positions = ids.new_full((len(rows), longest), -1)
    learned = []
    for i, (learner, m, _) in enumerate(rows):
        positions[i, : learner.positions.shape[1]] = learner.positions[m]
        row = learner.learned[m]
        learned.append(torch.nn.functional.pad(row, (0, 0, 0, longest - len(row))))
    embeds = encode(generator, ids, positions, torch.stack(learned))
    return generator.generate(embeds, torch.stack([latents for _, _, latents in rows]))


def encode(generator: Generator, ids: Tensor, positions: Tensor, learned: Tensor) -> PromptEmbeds:
    """The encoded prompts with learned embeddings, N of them.

    ids: (N, T). positions: (N, L), -1 for none. learned: (N, L, D).
    """
    embeddings = generator.embeddings(ids)
    rows, columns = (positions >= 0).nonzero(as_tuple=True)
    places = (rows, positions[rows, columns].long())
    return generator.encode(ids, embeddings.index_put(places, learned[rows, columns]))
