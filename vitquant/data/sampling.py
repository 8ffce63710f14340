"""Which images to calibrate with."""

from __future__ import annotations

import random

from vitquant.data.image_source import ImageSource


def stratified_sample(source: ImageSource, samples: int | None, seed: int) -> list[int]:
    """Indices of `samples` images, no two alike, spread as evenly over the classes as can be.

    All images if `samples` is None or there are no more. They come in an order whose every
    beginning is spread over the classes too: scales are searched on the first few. The same labels
    and the same seed give the same choice. Images without a label count as one class.
    """
    samples = len(source) if samples is None else min(samples, len(source))
    labels = source.labels if source.labels is not None else [-1] * len(source)
    by_class: dict[int, list[int]] = {}
    for i, label in enumerate(labels):
        by_class.setdefault(label, []).append(i)
    draw = random.Random(seed)
    queues = [by_class[label] for label in sorted(by_class)]
    draw.shuffle(queues)
    for queue in queues:
        draw.shuffle(queue)
    chosen: list[int] = []
    while len(chosen) < samples:
        queues = [queue for queue in queues if queue]
        chosen.extend(queue.pop() for queue in queues[: samples - len(chosen)])
    return chosen
