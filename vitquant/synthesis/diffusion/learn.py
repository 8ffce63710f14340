"""Learn prompt embeddings through generator and classifier.

Li, Karmann, Urfalioglu (arXiv 2602.18861): several prompts for each class ("modes"), learned so
that the model to be quantized recognises what is drawn, and kept apart twice: as embeddings, and by
the features of their images. The embeddings of the words around the class name are learned, those
of the name stay, as in textual inversion (Gal et al., arXiv 2208.01618).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vitquant.core.seeds import noise, seed_of
from vitquant.synthesis.diffusion.generator import Generator
from vitquant.synthesis.diffusion.prompt_file import ClassPrompts, Figures
from vitquant.synthesis.diffusion.prompt_text import Prompt, described
from vitquant.synthesis.quality import Classifier, mean_similarity
from vitquant.synthesis.settings import LearnSettings
from vitquant.synthesis.target_classes import Subject


@dataclass
class _Batch:
    """The prompts of some classes, G classes with M modes each.

    ids, positions: (G, M, T) and (G, M, L), -1 where a prompt has fewer than L free tokens.
    start: (G, M, L, D), the embeddings of the texts.
    """

    subjects: list[Subject]
    prompts: list[list[Prompt]]
    ids: Tensor
    positions: Tensor
    start: Tensor


def learn(
    generator: Generator,
    classifier: Classifier,
    subjects: list[Subject],
    settings: LearnSettings,
    tick: Callable[[], None] = lambda: None,
) -> list[ClassPrompts]:
    """Prompts for some classes, learned side by side; no class's depend on which others there are.

    Generator and classifier stay as they are. ``tick`` is called after every step.
    """
    batch = _begin(generator, subjects, settings)
    learned = batch.start.clone().requires_grad_()
    optimizer = torch.optim.Adam([learned], lr=settings.lr * batch.start.std().item())
    before = _figures(generator, classifier, batch, batch.start, settings)
    for step in range(settings.steps):
        optimizer.zero_grad()
        _backward(generator, classifier, batch, learned, settings, step)
        optimizer.step()
        tick()
    kept = learned.detach().half()
    after = _figures(generator, classifier, batch, kept.float(), settings)
    return [
        ClassPrompts(
            index=subject.index,
            phrase=subject.phrase,
            texts=[prompt.text for prompt in batch.prompts[g]],
            ids=batch.ids[g].to(torch.int32).cpu(),
            positions=batch.positions[g].to(torch.int32).cpu(),
            learned=kept[g].cpu(),
            before=before[g],
            after=after[g],
        )
        for g, subject in enumerate(subjects)
    ]


def _begin(generator: Generator, subjects: list[Subject], settings: LearnSettings) -> _Batch:
    templates = described(settings.prompts_per_class)
    prompts = [[generator.words.prompt(t, s.phrase) for t in templates] for s in subjects]
    longest = max(len(prompt.free) for modes in prompts for prompt in modes)
    positions = torch.tensor(
        [[[*p.free, *[-1] * (longest - len(p.free))] for p in modes] for modes in prompts]
    ).to(generator.device)
    ids = torch.stack([torch.stack([p.ids for p in modes]) for modes in prompts])
    ids = ids.to(generator.device)
    start = generator.embeddings(ids.gather(-1, positions.clamp_min(0)))
    return _Batch(subjects, prompts, ids, positions, start)


def _backward(
    generator: Generator,
    classifier: Classifier,
    batch: _Batch,
    learned: Tensor,
    settings: LearnSettings,
    step: int,
) -> float:
    """Gradients of the loss of one step, each class's mean over its modes; returns the loss."""
    groups, modes = batch.ids.shape[:2]
    shape = generator.noise_shape
    drawn = torch.stack(
        [noise((modes, *shape), seed_of(settings.seed, s.index, step)) for s in batch.subjects]
    )
    order = list(range(modes))
    random.Random(f"{settings.seed}/{step}").shuffle(order)
    nowhere = (batch.positions < 0).unsqueeze(-1)
    apart = mean_similarity(learned.masked_fill(nowhere, 0).flatten(2)).sum()
    moved = (learned - batch.start).masked_fill(nowhere, 0)
    text = moved.square().mean((1, 2, 3)).sum() / batch.start.var().clamp_min(1e-12)
    loss = settings.prompt_diversity * apart + settings.text_weight * text
    loss.backward()
    total = loss.item()
    at_once = max(1, settings.batch_size // groups)
    for part in torch.tensor(order).split(at_once):
        images = _draw(generator, batch, learned, part, drawn[:, part])
        logits, features = classifier(images)
        targets = torch.tensor([s.index for s in batch.subjects], device=logits.device)
        targets = targets.repeat_interleave(len(part))
        wrong = F.cross_entropy(logits, targets, reduction="sum")
        alike = mean_similarity(features.unflatten(0, (groups, len(part)))).sum() * len(part)
        loss = (settings.class_weight * wrong + settings.image_diversity * alike) / modes
        loss.backward()
        total += loss.item()
    return total


def _draw(
    generator: Generator, batch: _Batch, learned: Tensor, part: Tensor, drawn: Tensor
) -> Tensor:
    """Images (G * P, 3, H, W) of the modes in ``part`` (P,), from noise (G, P, C, H, W)."""
    ids = batch.ids[:, part].flatten(0, 1)
    positions = batch.positions[:, part].flatten(0, 1)
    told = encode(generator, ids, positions, learned[:, part].flatten(0, 1))
    return generator.draw(told, drawn.flatten(0, 1))


def encode(generator: Generator, ids: Tensor, positions: Tensor, learned: Tensor) -> Tensor:
    """What the generator is told by prompts with learned embeddings, (N, T, E).

    ids: (N, T). positions: (N, L), -1 for none. learned: (N, L, D).
    """
    embeddings = generator.embeddings(ids)
    rows, columns = (positions >= 0).nonzero(as_tuple=True)
    places = (rows, positions[rows, columns].long())
    return generator.encode(ids, embeddings.index_put(places, learned[rows, columns]))


@torch.no_grad()
def _figures(
    generator: Generator,
    classifier: Classifier,
    batch: _Batch,
    embeddings: Tensor,
    settings: LearnSettings,
) -> list[Figures]:
    """How well each class is recognised, and how alike its images are, one image a prompt.

    Before and after learning the noise is the same, and none that was learned from.
    """
    groups, modes = batch.ids.shape[:2]
    shape = (modes, *generator.noise_shape)
    drawn = torch.stack(
        [noise(shape, seed_of(settings.seed, s.index, "figures")) for s in batch.subjects]
    )
    logits, features = [], []
    for part in torch.arange(modes).split(max(1, settings.batch_size // groups)):
        seen = classifier(_draw(generator, batch, embeddings, part, drawn[:, part]))
        for found, values in zip((logits, features), seen, strict=True):
            found.append(values.float().unflatten(0, (groups, len(part))))
    scores, similarity = torch.cat(logits, 1).softmax(-1), mean_similarity(torch.cat(features, 1))
    return [
        Figures(
            top1=(scores[g].argmax(-1) == s.index).float().mean().item(),
            confidence=scores[g, :, s.index].mean().item(),
            similarity=similarity[g].item(),
        )
        for g, s in enumerate(batch.subjects)
    ]
