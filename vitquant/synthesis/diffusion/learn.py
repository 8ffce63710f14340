"""Learn prompt embeddings through generator and classifier.

Li, Karmann, Urfalioglu (arXiv 2602.18861): several prompts for each class ("modes"), learned so
that the model to be quantized classifies the images correctly, and kept apart twice: as
embeddings, and by the features of their images. The embeddings of the words around the class name
are learned, those of the name stay, as in textual inversion (Gal et al., arXiv 2208.01618).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vitquant.config.synthesize import PromptSettings
from vitquant.core.hashing import noise, seed_of
from vitquant.synthesis.diffusion.adapters.base import PromptEmbeds
from vitquant.synthesis.diffusion.generator import Generator
from vitquant.synthesis.diffusion.prompt_file import ClassPrompts, PromptMetrics
from vitquant.synthesis.diffusion.prompt_text import Prompt, adjective_templates
from vitquant.synthesis.quality import Classifier, mean_pairwise_cosine
from vitquant.synthesis.target_classes import TargetClass


@dataclass
class _Batch:
    """The prompts of some classes, G classes with M modes each.

    ids, positions: (G, M, T) and (G, M, L), -1 where a prompt has fewer than L free tokens.
    start: (G, M, L, D), the embeddings of the texts.
    """

    classes: list[TargetClass]
    prompts: list[list[Prompt]]
    ids: Tensor
    positions: Tensor
    start: Tensor


def learn_prompts(
    generator: Generator,
    classifier: Classifier,
    classes: list[TargetClass],
    settings: PromptSettings,
    on_step: Callable[[str], None] = lambda status: None,
) -> list[ClassPrompts]:
    """Prompts for some classes, learned side by side; no class's depend on which others there are.

    Generator and classifier stay as they are. ``on_step`` is called after every step, with
    the loss in words.
    """
    batch = _begin(generator, classes, settings)
    learned = batch.start.clone().requires_grad_()
    optimizer = torch.optim.Adam([learned], lr=settings.lr * batch.start.std().item())
    before = _metrics(generator, classifier, batch, batch.start, settings)
    for step in range(settings.steps):
        optimizer.zero_grad()
        loss = _backward(generator, classifier, batch, learned, settings, step)
        optimizer.step()
        on_step(f"loss {loss / len(classes):.2f}")
    final = learned.detach().half()
    after = _metrics(generator, classifier, batch, final.float(), settings)
    return [
        ClassPrompts(
            index=target.index,
            name=target.name,
            texts=[prompt.text for prompt in batch.prompts[g]],
            ids=batch.ids[g].to(torch.int32).cpu(),
            positions=batch.positions[g].to(torch.int32).cpu(),
            learned=final[g].cpu(),
            before=before[g],
            after=after[g],
        )
        for g, target in enumerate(classes)
    ]


def _begin(generator: Generator, classes: list[TargetClass], settings: PromptSettings) -> _Batch:
    templates = adjective_templates(settings.prompts_per_class)
    tokenizer = generator.prompt_tokenizer
    prompts = [[tokenizer.prompt(t, target.name) for t in templates] for target in classes]
    longest = max(len(prompt.free) for modes in prompts for prompt in modes)
    positions = torch.tensor(
        [[[*p.free, *[-1] * (longest - len(p.free))] for p in modes] for modes in prompts]
    ).to(generator.device)
    ids = torch.stack([torch.stack([p.ids for p in modes]) for modes in prompts])
    ids = ids.to(generator.device)
    start = generator.embeddings(ids.gather(-1, positions.clamp_min(0)))
    return _Batch(classes, prompts, ids, positions, start)


def _backward(
    generator: Generator,
    classifier: Classifier,
    batch: _Batch,
    learned: Tensor,
    settings: PromptSettings,
    step: int,
) -> float:
    """Gradients of the loss of one step, each class's mean over its modes; returns the loss."""
    groups, modes = batch.ids.shape[:2]
    shape = generator.noise_shape
    latents = torch.stack(
        [noise((modes, *shape), seed_of(settings.seed, c.index, step)) for c in batch.classes]
    )
    order = list(range(modes))
    random.Random(f"{settings.seed}/{step}").shuffle(order)
    unused = (batch.positions < 0).unsqueeze(-1)
    prompt_cosine = mean_pairwise_cosine(learned.masked_fill(unused, 0).flatten(2)).sum()
    moved = (learned - batch.start).masked_fill(unused, 0)
    text = moved.square().mean((1, 2, 3)).sum() / batch.start.var().clamp_min(1e-12)
    loss = settings.prompt_diversity * prompt_cosine + settings.text_weight * text
    loss.backward()
    total = loss.item()
    at_once = max(1, settings.batch_size // groups)
    for part in torch.tensor(order).split(at_once):
        images = _generate(generator, batch, learned, part, latents[:, part])
        logits, features = classifier(images)
        targets = torch.tensor([c.index for c in batch.classes], device=logits.device)
        targets = targets.repeat_interleave(len(part))
        ce = F.cross_entropy(logits, targets, reduction="sum")
        cosine = mean_pairwise_cosine(features.unflatten(0, (groups, len(part)))).sum() * len(part)
        loss = (settings.ce_weight * ce + settings.image_diversity * cosine) / modes
        loss.backward()
        total += loss.item()
    return total


def _generate(
    generator: Generator, batch: _Batch, learned: Tensor, part: Tensor, latents: Tensor
) -> Tensor:
    """Images (G * P, 3, H, W) of the modes in ``part`` (P,), from noise (G, P, C, H, W)."""
    ids = batch.ids[:, part].flatten(0, 1)
    positions = batch.positions[:, part].flatten(0, 1)
    embeds = encode(generator, ids, positions, learned[:, part].flatten(0, 1))
    return generator.generate(embeds, latents.flatten(0, 1))


def encode(generator: Generator, ids: Tensor, positions: Tensor, learned: Tensor) -> PromptEmbeds:
    """The encoded prompts with learned embeddings, N of them.

    ids: (N, T). positions: (N, L), -1 for none. learned: (N, L, D).
    """
    embeddings = generator.embeddings(ids)
    rows, columns = (positions >= 0).nonzero(as_tuple=True)
    places = (rows, positions[rows, columns].long())
    return generator.encode(ids, embeddings.index_put(places, learned[rows, columns]))


@torch.no_grad()
def _metrics(
    generator: Generator,
    classifier: Classifier,
    batch: _Batch,
    embeddings: Tensor,
    settings: PromptSettings,
) -> list[PromptMetrics]:
    """How well each class is classified, and how alike its images are, one image a prompt.

    Before and after learning the noise is the same, and none that was learned from.
    """
    groups, modes = batch.ids.shape[:2]
    shape = (modes, *generator.noise_shape)
    latents = torch.stack(
        [noise(shape, seed_of(settings.seed, c.index, "figures")) for c in batch.classes]
    )
    logits: list[Tensor] = []
    features: list[Tensor] = []
    for part in torch.arange(modes).split(max(1, settings.batch_size // groups)):
        outputs = classifier(_generate(generator, batch, embeddings, part, latents[:, part]))
        for found, values in zip((logits, features), outputs, strict=True):
            found.append(values.float().unflatten(0, (groups, len(part))))
    scores = torch.cat(logits, 1).softmax(-1)
    similarity = mean_pairwise_cosine(torch.cat(features, 1))
    return [
        PromptMetrics(
            top1=(scores[g].argmax(-1) == c.index).float().mean().item(),
            confidence=scores[g, :, c.index].mean().item(),
            similarity=similarity[g].item(),
        )
        for g, c in enumerate(batch.classes)
    ]
