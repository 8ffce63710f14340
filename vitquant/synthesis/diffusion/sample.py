"""Draw the images of some classes, and draw again what the classifier does not recognise."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from vitquant.core.seeds import noise, seed_of
from vitquant.synthesis.diffusion.generator import Generator
from vitquant.synthesis.diffusion.prompt_sets import Modes
from vitquant.synthesis.quality import Classifier
from vitquant.synthesis.target_classes import Subject


@dataclass(frozen=True)
class Drawing:
    """An image, 8 bits a channel, and where it comes from.

    number: among the images of its class. seed: of its noise. confidence: the probability that the
    float model gives to its class. recognised: whether that is its first guess.
    """

    subject: Subject
    number: int
    mode: int
    text: str
    seed: int
    image: Image.Image
    confidence: float
    recognised: bool


@dataclass(frozen=True)
class Drawn:
    """The images of a class, and how many more were drawn and rejected."""

    subject: Subject
    drawings: list[Drawing]
    rejected: int


@dataclass(frozen=True)
class _Task:
    """An image to be drawn, from one mode of its class."""

    subject: Subject
    number: int
    mode: int
    text: str
    told: Tensor


@torch.no_grad()
def draw(
    generator: Generator,
    classifier: Classifier,
    modes: Modes,
    subjects: list[Subject],
    count: int,
    *,
    seed: int,
    batch_size: int,
    min_confidence: float = 0.0,
    attempts: int = 1,
) -> list[Drawn]:
    """``count`` images of each class, evenly over its modes; fewer where none will do.

    min_confidence: an image below it is rejected and drawn again from other noise, up to
        ``attempts`` times in all.
    """
    tasks = [task for subject in subjects for task in _tasks(generator, modes, subject, count)]
    accepted: list[Drawing] = []
    rejected = dict.fromkeys(subjects, 0)
    for attempt in range(attempts):
        again = []
        for start in range(0, len(tasks), batch_size):
            some = tasks[start : start + batch_size]
            drawings = _batch(generator, classifier, some, seed, attempt)
            for task, drawing in zip(some, drawings, strict=True):
                if drawing.confidence >= min_confidence:
                    accepted.append(drawing)
                else:
                    rejected[drawing.subject] += 1
                    again.append(task)
        tasks = again
    accepted.sort(key=lambda d: d.number)
    return [Drawn(s, [d for d in accepted if d.subject == s], rejected[s]) for s in subjects]


def _tasks(generator: Generator, modes: Modes, subject: Subject, count: int) -> Iterator[_Task]:
    told, texts = modes.told(generator, subject), modes.texts(subject)
    for number in range(count):
        mode = number % len(texts)
        yield _Task(subject, number, mode, texts[mode], told[mode])


def _batch(
    generator: Generator, classifier: Classifier, tasks: list[_Task], seed: int, attempt: int
) -> Iterator[Drawing]:
    seeds = [seed_of(seed, t.subject.index, t.number, attempt) for t in tasks]
    drawn = torch.stack([noise(generator.noise_shape, s) for s in seeds])
    images = generator.draw(torch.stack([t.told for t in tasks]), drawn)
    pixels = (images * 255).round().to(torch.uint8)
    # The classifier sees what is written, not what was there before rounding.
    scores = classifier(pixels.float() / 255)[0].float().softmax(-1).cpu()
    pixels = pixels.permute(0, 2, 3, 1).cpu().numpy()
    for i, task in enumerate(tasks):
        index = task.subject.index
        yield Drawing(
            task.subject,
            task.number,
            task.mode,
            task.text,
            seeds[i],
            Image.fromarray(pixels[i]),
            round(scores[i, index].item(), 4),
            int(scores[i].argmax()) == index,
        )
