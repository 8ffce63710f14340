"""The prompts of one class while they are learned: which are good enough, and what is left to do.

A prompt is good enough if the float model is sure of the class in its images, on the mean, and if
these are not too much like the class's other images. Whether its text is so already is decided on
images from the noise of those that are drawn afterwards with the same seed. While it is learned,
its last images decide, which the loss needs anyway.
"""

from collections import deque

import torch
import torch.nn.functional as F
from torch import Tensor

from vitquant.config.groups.prompts import PromptSettings
from vitquant.core.hashing import noise, seed_of
from vitquant.synthesis.diffusion.generator import Generator
from vitquant.synthesis.diffusion.prompt_file import ClassPrompts, PromptMetrics
from vitquant.synthesis.diffusion.prompt_text import adjective_templates
from vitquant.synthesis.quality import mean_pairwise_cosine
from vitquant.synthesis.target_classes import TargetClass

# A prompt that is not good enough after --steps may take so many times as many, as far as the
# other prompts of its class have left some.
_MOST = 2


class ClassLearner:
    """M prompts of one class. What happens to them depends on no other class.

    ids: (M, T). positions: (M, L), -1 where a prompt has fewer than L free tokens. start:
    (M, L, D), the embeddings of the texts. learned: M tensors (L, D). steps: of Adam, for each
    prompt. images: how many were generated without gradients. training: the prompts that are not
    good enough yet.
    """

    def __init__(self, generator: Generator, target: TargetClass, settings: PromptSettings) -> None:
        self.target = target
        self._settings, self._noise_shape = settings, generator.noise_shape
        tokenizer = generator.prompt_tokenizer
        templates = adjective_templates(settings.prompts_per_class)
        prompts = [tokenizer.prompt(template, target.name) for template in templates]
        longest = max(len(prompt.free) for prompt in prompts)
        positions = [[*p.free, *[-1] * (longest - len(p.free))] for p in prompts]
        self.texts = [prompt.text for prompt in prompts]
        self.ids = torch.stack([p.ids for p in prompts]).to(generator.device)
        self.positions = torch.tensor(positions).to(generator.device)
        self.start = generator.embeddings(self.ids.gather(-1, self.positions.clamp_min(0)))
        self.learned = [row.clone().requires_grad_() for row in self.start]
        rate = settings.lr * self.start.std().item()
        self._optimizers = [torch.optim.Adam([row], lr=rate) for row in self.learned]
        self.steps = [0] * len(prompts)
        self.images = 0
        self.training = list(range(len(prompts)))
        recent = settings.patience
        self._confidences = [deque[float](maxlen=recent) for _ in prompts]
        self._similarities = [deque[float](maxlen=recent) for _ in prompts]
        self._iterates = [deque[Tensor](maxlen=recent) for _ in prompts]
        self._logits: Tensor | None = None  # of the images that are looked at, (M, P, classes)
        self._bank = torch.empty(0)  # normalized features of the class's images, (M, P, F)

    def to_look_at(self) -> list[tuple[int, int]]:
        """Prompt and place of each image that decides: of all, later of the learned ones."""
        changed = [m for m, steps in enumerate(self.steps) if steps or self._logits is None]
        return [(m, place) for m in changed for place in range(self._settings.images_per_prompt)]

    def drawn_noise(self, prompt: int, place: int) -> Tensor:
        """The noise that the image of a prompt is drawn from."""
        number = prompt + place * len(self.texts)
        return noise(self._noise_shape, seed_of(self._settings.seed, self.target.index, number, 0))

    def next_noise(self, prompt: int) -> Tensor:
        """The noise of the image that a prompt is learned from next."""
        names = (self.target.index, "step", prompt, self.steps[prompt])
        return noise(self._noise_shape, seed_of(self._settings.seed, *names))

    def look(self, logits: Tensor, features: Tensor) -> PromptMetrics:
        """Metrics of the images in ``to_look_at``, by their logits and features (N, …)."""
        places = self.to_look_at()
        self.images += len(places)
        shape = (len(self.texts), self._settings.images_per_prompt)
        if self._logits is None:
            self._logits = logits.new_zeros(*shape, logits.shape[-1])
            self._bank = features.new_zeros(*shape, features.shape[-1])
        rows = sorted({m for m, _ in places})
        self._logits[rows] = logits.unflatten(0, (-1, shape[1]))
        self._bank[rows] = F.normalize(features, dim=-1).unflatten(0, (-1, shape[1]))
        scores = self._logits.softmax(-1)
        return PromptMetrics(
            top1=(scores.argmax(-1) == self.target.index).float().mean().item(),
            confidence=scores[..., self.target.index].mean().item(),
            similarity=mean_pairwise_cosine(self._bank.flatten(0, 1)).item(),
        )

    def leave_good(self) -> None:
        """Prompts whose texts are good enough stay as they are."""
        assert self._logits is not None
        confidences = self._logits.softmax(-1)[..., self.target.index].mean(1).tolist()
        self.training = [
            m
            for m in self.training
            if not self._good(confidences[m], self._similarity_of_prompt(m))
        ]

    def image_loss(self, prompt: int, logits: Tensor, features: Tensor) -> Tensor:
        """Cross-entropy and diversity of the image that a prompt is learned from; takes note of it.

        logits: (classes). features: (F).
        """
        target = torch.tensor(self.target.index, device=logits.device)
        loss = self._settings.ce_weight * F.cross_entropy(logits, target)
        alike = self._similarity(prompt, F.normalize(features, dim=-1))
        # Each pair counts for both of its images, and only one of them moves here.
        loss = loss + 2 * self._settings.image_diversity * alike
        self._confidences[prompt].append(logits.detach().softmax(-1)[self.target.index].item())
        self._similarities[prompt].append(alike.item())
        return loss / len(self.texts)

    def remember(self, prompt: int, features: Tensor) -> None:
        """Other images are compared with this one from the next step on."""
        self._bank[prompt, self._place(prompt)] = F.normalize(features.detach(), dim=-1)

    def prompt_loss(self) -> Tensor:
        """Diversity of the prompts, and their distance from the texts."""
        unused = (self.positions < 0).unsqueeze(-1)
        learned = torch.stack(self.learned)
        cosine = mean_pairwise_cosine(learned.masked_fill(unused, 0).flatten(1))
        moved = (learned - self.start).masked_fill(unused, 0)
        text = moved.square().mean() / self.start.var().clamp_min(1e-12)
        return self._settings.prompt_diversity * cosine + self._settings.text_weight * text

    def update(self) -> list[int]:
        """A step of Adam for what is in training; returns the prompts whose learning is over.

        These become the mean of their last embeddings, whose images were good.
        """
        self.prompt_loss().backward()
        for m in self.training:
            self._iterates[m].append(self.learned[m].detach().clone())
            self._optimizers[m].step()
            self.steps[m] += 1
        for row in self.learned:
            row.grad = None
        over = [m for m in self.training if self._is_over(m)]
        for m in over:
            last = torch.stack(list(self._iterates[m]))
            self.learned[m].data = last.mean(0)
        self.training = [m for m in self.training if m not in over]
        return over

    def _is_over(self, prompt: int) -> bool:
        recent, settings = self._confidences[prompt], self._settings
        alike = self._similarities[prompt]
        if len(recent) == settings.patience and self._good(
            sum(recent) / len(recent), sum(alike) / len(alike)
        ):
            return True
        steps, left = self.steps[prompt], settings.steps * len(self.texts) - sum(self.steps)
        return steps >= settings.steps and (steps >= _MOST * settings.steps or left <= 0)

    def _good(self, confidence: float, similarity: float) -> bool:
        settings = self._settings
        sure = settings.target_confidence < 1 and confidence >= settings.target_confidence
        return sure and similarity <= settings.max_similarity

    def _place(self, prompt: int) -> int:
        return self.steps[prompt] % self._settings.images_per_prompt

    def _similarity(self, prompt: int, unit: Tensor) -> Tensor:
        """Mean cosine between an image's features and the class's others, but the one it replaces.

        0 if there are none.
        """
        others = self._bank.shape[0] * self._bank.shape[1] - 1
        if not others:
            return unit.sum() * 0
        total = self._bank.sum((0, 1)) - self._bank[prompt, self._place(prompt)]
        return (unit * total).sum() / others

    def _similarity_of_prompt(self, prompt: int) -> float:
        """Mean cosine between a prompt's images and all others of the class."""
        own = self._bank[prompt]
        others = self._bank.shape[0] * len(own) - 1
        alike = (own @ self._bank.sum((0, 1)) - 1).mean().item()
        return alike / others if others else 0.0

    def result(self, before: PromptMetrics, after: PromptMetrics) -> ClassPrompts:
        return ClassPrompts(
            index=self.target.index,
            name=self.target.name,
            texts=self.texts,
            ids=self.ids.to(torch.int32).cpu(),
            positions=self.positions.to(torch.int32).cpu(),
            learned=torch.stack(self.learned).detach().half().cpu(),
            before=before,
            after=after,
            steps=self.steps,
            images=self.images,
        )
