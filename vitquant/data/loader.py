"""Which images are used, and as batches of tensors, decoded while the model works."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from PIL import Image

from vitquant.data.image_source import ImageSource

# Pillow decodes without holding the interpreter, and a model on few cores leaves little idle.
_THREADS = 3


def load_batches(
    source: ImageSource,
    indices: Sequence[int],
    transform: Callable[[Image.Image], torch.Tensor],
    batch_size: int,
    threads: int = _THREADS,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield images (B, 3, H, W) float32 and labels (B,) int64 for `indices`, in their order.

    Of texts, tokens (B, L) int64: what `transform` makes of that type stays so. The last batch may
    be smaller. Labels are -1 where the source knows none. `transform` runs in several threads at
    once. At most two batches are decoded ahead.

    Raises what `source.image` and `transform` raise, when the batch at fault is due; no threads are
    left once the iterator is exhausted, closed or interrupted.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    ahead: deque[Future[tuple[torch.Tensor, int]]] = deque()
    upcoming = iter(indices)

    def load(i: int) -> tuple[torch.Tensor, int]:
        image = transform(source.image(i))
        if image.dtype != torch.int64:
            image = image.to(torch.float32)
        # After the image: a streamed source learns the label from it.
        return image, -1 if source.labels is None else source.labels[i]

    def refill() -> None:
        while len(ahead) < 2 * batch_size and (i := next(upcoming, None)) is not None:
            ahead.append(pool.submit(load, i))

    try:
        refill()
        while ahead:
            loaded: list[tuple[torch.Tensor, int]] = []
            while ahead and len(loaded) < batch_size:
                loaded.append(ahead.popleft().result())
                refill()
            images, labels = zip(*loaded, strict=True)
            yield torch.stack(images), torch.tensor(labels, dtype=torch.int64)
    finally:
        pool.shutdown(cancel_futures=True)


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
