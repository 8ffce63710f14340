"""Generate the images of some classes, again where the classifier does not see the class."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from PIL import Image

from vitquant.core.hashing import noise, seed_of
from vitquant.synthesis.diffusion.adapters.base import PromptEmbeds
from vitquant.synthesis.diffusion.generator import Generator
from vitquant.synthesis.diffusion.prompt_sets import PromptSet
from vitquant.synthesis.image_folder import GeneratedImage
from vitquant.synthesis.image_job import ImagePart
from vitquant.synthesis.quality import Classifier
from vitquant.synthesis.target_classes import TargetClass


@dataclass(frozen=True)
class _Request:
    """An image to be generated, from one mode of its class."""

    target: TargetClass
    number: int
    mode: int
    text: str
    prompt_embeds: PromptEmbeds


@torch.no_grad()
def sample_images(
    generator: Generator,
    classifier: Classifier,
    prompts: PromptSet,
    classes: list[TargetClass],
    count: int,
    *,
    seed: int,
    batch_size: int,
    min_confidence: float = 0.0,
    max_attempts: int = 1,
) -> ImagePart:
    """``count`` images of each class, evenly over its modes; fewer where none will do.

    The images are in the order of the classes.

    min_confidence: an image below it is rejected and generated again from other noise, up to
        ``max_attempts`` times in all.
    """
    requests = [r for target in classes for r in _requests(generator, prompts, target, count)]
    accepted: list[GeneratedImage] = []
    rejected = 0
    for attempt in range(max_attempts):
        again = []
        for start in range(0, len(requests), batch_size):
            batch = requests[start : start + batch_size]
            images = _generate(generator, classifier, batch, seed, attempt)
            for request, image in zip(batch, images, strict=True):
                if image.confidence >= min_confidence:
                    accepted.append(image)
                else:
                    rejected += 1
                    again.append(request)
        requests = again
    accepted.sort(key=lambda image: (classes.index(image.target), image.number))
    return ImagePart(accepted, rejected)


def _requests(
    generator: Generator, prompts: PromptSet, target: TargetClass, count: int
) -> Iterator[_Request]:
    embeds, texts = prompts.prompt_embeds(generator, target), prompts.texts(target)
    for number in range(count):
        mode = number % len(texts)
        yield _Request(target, number, mode, texts[mode], embeds[mode : mode + 1])


def _generate(
    generator: Generator, classifier: Classifier, batch: list[_Request], seed: int, attempt: int
) -> Iterator[GeneratedImage]:
    seeds = [seed_of(seed, r.target.index, r.number, attempt) for r in batch]
    latents = torch.stack([noise(generator.noise_shape, s) for s in seeds])
    images = generator.generate(PromptEmbeds.cat([r.prompt_embeds for r in batch]), latents)
    pixels = (images * 255).round().to(torch.uint8)
    # The classifier sees what is written, not what was there before rounding.
    scores = classifier(pixels.float() / 255)[0].float().softmax(-1).cpu()
    arrays = pixels.permute(0, 2, 3, 1).cpu().numpy()
    for i, request in enumerate(batch):
        index = request.target.index
        yield GeneratedImage(
            request.target,
            request.number,
            request.mode,
            request.text,
            seeds[i],
            Image.fromarray(arrays[i]),
            confidence=round(scores[i, index].item(), 4),
            correct=int(scores[i].argmax()) == index,
        )
