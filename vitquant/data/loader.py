"""Images as batches of tensors, decoded while the model works."""

from __future__ import annotations

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

    The last batch may be smaller. Labels are -1 where the source knows none. `transform` runs in
    several threads at once. At most two batches are decoded ahead.

    Raises what `source.image` and `transform` raise, when the batch at fault is due; no threads are
    left once the iterator is exhausted, closed or interrupted.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    ahead: deque[Future[tuple[torch.Tensor, int]]] = deque()
    upcoming = iter(indices)

    def load(i: int) -> tuple[torch.Tensor, int]:
        image = transform(source.image(i)).to(torch.float32)
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
