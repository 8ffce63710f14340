"""Images from noise, through nothing but the float model itself.

PSAQ-ViT (arXiv 2203.02250): pixels are optimized by Adam so that the model is sure of a class,
patches are as varied as in a photograph, and neighboring pixels as alike. Each iteration shows the
model another crop of each image, and some of its patches.

The schedule goes from easy to hard: from the whole image to small crops.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vitquant.config.synthesize import InversionSettings
from vitquant.core.device import compute_dtype
from vitquant.core.hashing import noise, seed_of
from vitquant.models.model import Model
from vitquant.synthesis.inversion.adam import ImageAdam
from vitquant.synthesis.inversion.attention import MatmulAttention
from vitquant.synthesis.inversion.crops import apply_crops, sample_crop
from vitquant.synthesis.inversion.patch_drop import KeptPatches, patches_kept
from vitquant.synthesis.inversion.patch_entropy import attention_tokens, similarity_entropy
from vitquant.synthesis.inversion.schedule import Schedule


class Subject(NamedTuple):
    """A float model with a classifier, frozen, and what of it is looked into.

    attentions: names of the modules that compute attention products. entry: name of the block in
    front of which patches can be left out; empty where they cannot.
    """

    model: Model
    attentions: list[str]
    entry: str = ""


class _Slot:
    """An image that is being made."""

    def __init__(self, place: int, number: int, target: int, seed: int) -> None:
        self.place, self.number, self.target = place, number, target
        self.iteration = self.confident = 0
        self.views = random.Random(seed_of(seed, "views", number))
        self.patches = torch.Generator().manual_seed(seed_of(seed, "patches", number))

    def sample_patches(self, count: int, kept: int) -> Tensor:
        """So many of ``count`` patches, in order."""
        return torch.randperm(count, generator=self.patches)[:kept].sort().values


def invert(
    subject: Subject,
    numbers: Sequence[int],
    targets: Sequence[int],
    settings: InversionSettings,
    device: torch.device | str = "cpu",
    on_step: Callable[[int, str], None] = lambda iterations, status: None,
) -> Tensor:
    """Images (B, 3, H, W), uint8, of the size of the model's input.

    ``settings.batch_size`` of them are made side by side; one that is finished makes room for the
    next. Everything random about an image depends on the seed and the image's number alone, so
    another batch changes no more than the rounding of sums.

    Args:
        subject: the model, on ``device``.
        numbers: of the images.
        targets: the class that each is to show.
        on_step: called after each iteration, with how many iterations of single images that
            makes, including those that a finished image did not need, and the loss in words.
    """
    with _Inverter(subject, settings, torch.device(device)) as inverter:
        waiting = deque(
            _Slot(place, number, target, settings.seed)
            for place, (number, target) in enumerate(zip(numbers, targets, strict=True))
        )
        finished: dict[int, Tensor] = {}
        slots = [waiting.popleft() for _ in range(min(settings.batch_size, len(waiting)))]
        batch = ImageAdam(torch.stack([inverter.start(slot) for slot in slots]))
        while slots:
            status = inverter.iterate(batch, slots)
            done = len(slots)
            for row, slot in enumerate(slots):
                if inverter.is_finished(slot):
                    finished[slot.place] = inverter.pixels(batch.images[row])
                    done += settings.iterations - slot.iteration
                    if waiting:
                        slots[row] = waiting.popleft()
                        batch.restart(row, inverter.start(slots[row]))
            left = [row for row, slot in enumerate(slots) if slot.place not in finished]
            if len(left) < len(slots):
                slots = [slots[row] for row in left]
                batch.keep(left)
            on_step(done, status)
    return torch.stack([finished[place] for place in range(len(numbers))])


class _Inverter:
    """What one iteration does. Looks into the model between ``__enter__`` and ``__exit__``."""

    def __init__(self, subject: Subject, settings: InversionSettings, device: torch.device) -> None:
        self.subject, self.settings, self.device = subject, settings, device
        min_crop = settings.min_crop if settings.crops else 1.0
        self.schedule = Schedule(settings.iterations, settings.lr_cycles, min_crop)
        self.dtype = compute_dtype(settings.precision, device)
        self.mean, self.std = normalization(subject.model, device)
        self.black, self.white = -self.mean / self.std, (1 - self.mean) / self.std
        self.stack = ExitStack()

    def __enter__(self) -> "_Inverter":
        model = self.subject.model
        self.tokens = self.stack.enter_context(attention_tokens(model, self.subject.attentions))
        self.kept = KeptPatches()
        if self.subject.entry:
            self.kept = self.stack.enter_context(patches_kept(model, self.subject.entry))
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.close()

    def start(self, slot: _Slot) -> Tensor:
        """Noise (3, H, W), in the range of a picture."""
        seed = seed_of(self.settings.seed, "inversion", slot.number)
        start = noise(self.subject.model.input_size, seed).to(self.device)
        return start.clamp(self.black, self.white)

    def is_finished(self, slot: _Slot) -> bool:
        settings = self.settings
        return slot.iteration == settings.iterations or (
            settings.confidence > 0 and slot.confident >= settings.patience
        )

    def pixels(self, image: Tensor) -> Tensor:
        return ((image * self.std + self.mean) * 255).round().clamp(0, 255).to(torch.uint8)

    def iterate(self, batch: ImageAdam, slots: list[_Slot]) -> str:
        """One iteration of each image; the loss in words."""
        settings, schedule = self.settings, self.schedule
        images = batch.images.detach().requires_grad_()
        labels = torch.tensor([slot.target for slot in slots], device=self.device)
        logits = self._look(images, slots)
        # Sums, so that what is beside an image does not change its gradient.
        ce = F.cross_entropy(logits, labels, reduction="sum")
        entropy = self._entropy(slots)
        tv_error = (total_variation(images) - settings.tv_target).abs().sum()
        loss = (
            settings.ce_weight * ce
            - settings.entropy_weight * entropy
            + settings.tv_weight * tv_error
        )
        (gradient,) = torch.autograd.grad(loss, images)
        steps = [slot.iteration for slot in slots]
        batch.step(gradient, [settings.lr * schedule.lr_scale(n) for n in steps], steps)
        batch.images.copy_(batch.images.clamp(self.black, self.white))
        found = logits.detach().softmax(-1).gather(1, labels[:, None])[:, 0].tolist()
        for slot, confidence in zip(slots, found, strict=True):
            slot.iteration += 1
            slot.confident = slot.confident + 1 if confidence >= settings.confidence else 0
        terms = [float(term.detach()) / len(slots) for term in (ce, entropy)]
        return f"cross-entropy {terms[0]:.2f}, patch entropy {terms[1]:.2f}"

    def _look(self, images: Tensor, slots: list[_Slot]) -> Tensor:
        """Logits (B, classes) of a view of each of ``images``."""
        model, schedule = self.subject.model, self.schedule
        crops = []
        for slot in slots:
            area, jitter = (
                schedule.area(slot.iteration),
                schedule.jitter(slot.iteration, images.shape[2]),
            )
            crops.append(sample_crop(slot.views, *model.image_size, area, jitter))
        if self.subject.entry and self.settings.patch_drop:
            count = model.tokens.patches
            kept = max(2, round(count * (1 - self.settings.patch_drop)))
            chosen = [slot.sample_patches(count, kept) for slot in slots]
            self.kept.indices = torch.stack(chosen).to(self.device)
        self.tokens.clear()
        # bfloat16 is what the model rounds its input to anyway.
        inputs = apply_crops(images.to(self.dtype), crops).float()
        fast = MatmulAttention() if self.device.type == "cpu" else nullcontext()
        enabled = self.dtype != torch.float32
        with torch.autocast(self.device.type, self.dtype, enabled=enabled), fast:
            return model(inputs).float()

    def _entropy(self, slots: list[_Slot]) -> Tensor:
        """Of the patches of all attentions, summed over the images."""
        total = torch.zeros((), device=self.device)
        if not self.settings.entropy_weight:
            return total
        for patches in self.tokens:
            count, most = patches.shape[1], self.settings.patches
            if count > most:
                chosen = torch.stack([slot.sample_patches(count, most) for slot in slots])
                index = chosen.to(self.device)[..., None].expand(-1, -1, patches.shape[2])
                patches = patches.gather(1, index)
            total = total + similarity_entropy(patches.float(), self.settings.points).sum()
        return total


def normalization(model: Model, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, (3, 1, 1) each, that the model's inputs are normalized by."""
    mean, std = (torch.tensor(model.preprocessing[key], device=device) for key in ("mean", "std"))
    return mean.view(-1, 1, 1), std.view(-1, 1, 1)


def total_variation(images: Tensor) -> Tensor:
    """(B,): root mean square difference between neighboring pixels of images (B, C, H, W).

    The mean over the four directions, down, right and both diagonals.
    """
    pairs = (
        (images[..., 1:], images[..., :-1]),
        (images[..., 1:, :], images[..., :-1, :]),
        (images[..., 1:, 1:], images[..., :-1, :-1]),
        (images[..., 1:, :-1], images[..., :-1, 1:]),
    )
    roots = [(a - b).square().mean((1, 2, 3)).sqrt() for a, b in pairs]
    return (roots[0] + roots[1] + roots[2] + roots[3]) / len(pairs)
