"""What an exported file is compared with, and on which images."""

from dataclasses import replace

from vitquant.core.progress import Progress
from vitquant.data.image_source import ImageSource, ListSource
from vitquant.data.loader import stratified_sample
from vitquant.data.sources.noise import SmoothNoiseSource
from vitquant.data.texts import template_texts
from vitquant.models.model import Model

IMAGES = 32
"""How many images a file is verified with by default."""


def with_random_weights(model: Model) -> Model:
    """The float architecture, for its speed."""
    identity = model.identity
    module = model.adapter.rebuild(identity.architecture, identity.arguments)
    return replace(model, module=module.requires_grad_(False))


def made_images(model: Model, count: int) -> ImageSource:
    """Smooth noise, or texts of class names."""
    if model.reads_text:
        return template_texts("template", count, seed=0)
    return SmoothNoiseSource(count, model.image_size)


def decode(images: ImageSource, count: int, progress: Progress) -> ListSource:
    """Up to ``count`` of the images, spread over their classes, in memory."""
    chosen = stratified_sample(images, count, seed=0)
    track = progress.track(chosen, len(chosen), "reading images")
    return ListSource(images.name, [images.image(i) for i in track])
