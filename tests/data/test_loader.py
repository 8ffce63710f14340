import threading
import time

import pytest
import torch
from PIL import Image

from vitquant.core.errors import UserError
from vitquant.data.image_source import ListSource
from vitquant.data.loader import load_batches


def gray(n: int, labels: list[int] | None = None) -> ListSource:
    return ListSource("x", [Image.new("RGB", (4, 4), (i, i, i)) for i in range(n)], labels)


def brightness(image: Image.Image) -> torch.Tensor:
    return torch.full((3, 4, 4), image.getpixel((0, 0))[0], dtype=torch.float64)


def decoding() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("decode")]


def test_order_shapes_and_labels():
    indices = [7, 2, 9, 0, 4]
    found = list(load_batches(gray(10, list(range(100, 110))), indices, brightness, 2))
    assert [images.shape for images, _ in found] == [(2, 3, 4, 4), (2, 3, 4, 4), (1, 3, 4, 4)]
    assert torch.cat([images[:, 0, 0, 0] for images, _ in found]).tolist() == indices
    assert torch.cat([labels for _, labels in found]).tolist() == [107, 102, 109, 100, 104]
    assert {images.dtype for images, _ in found} == {torch.float32}
    assert {labels.dtype for _, labels in found} == {torch.int64}


def test_order_does_not_depend_on_how_long_decoding_takes():
    def slow_at_first(image: Image.Image) -> torch.Tensor:
        time.sleep(0.05 if image.getpixel((0, 0))[0] == 0 else 0)
        return brightness(image)

    found = torch.cat([images for images, _ in load_batches(gray(9), range(9), slow_at_first, 4)])
    assert found[:, 0, 0, 0].tolist() == list(range(9))


def test_without_labels():
    assert next(load_batches(gray(3), range(3), brightness, 3))[1].tolist() == [-1, -1, -1]


def test_nothing():
    assert list(load_batches(gray(3), [], brightness, 2)) == []


def test_memory_is_bounded():
    made = []

    def count(image: Image.Image) -> torch.Tensor:
        made.append(image)
        return brightness(image)

    iterator = load_batches(gray(100), range(100), count, 4)
    next(iterator)
    time.sleep(0.1)
    assert len(made) <= 3 * 4
    iterator.close()


class Broken(ListSource):
    def image(self, i: int) -> Image.Image:
        if i == 5:
            raise UserError("--data: cannot read 5")
        return super().image(i)


def test_error_comes_with_its_batch_and_leaves_no_threads():
    source = Broken("x", gray(100)._images)
    iterator = load_batches(source, range(100), brightness, 2)
    assert [next(iterator)[0][0, 0, 0, 0].item() for _ in range(2)] == [0, 2]
    with pytest.raises(UserError, match="cannot read 5"):
        next(iterator)
    assert decoding() == []


def test_closing_is_prompt():
    def slow(image: Image.Image) -> torch.Tensor:
        time.sleep(0.05)
        return brightness(image)

    iterator = load_batches(gray(200), range(200), slow, 40)
    next(iterator)
    assert decoding()
    start = time.monotonic()
    iterator.close()
    assert time.monotonic() - start < 0.5
    assert decoding() == []


def test_interruption_while_waiting():
    def interrupt(image: Image.Image) -> torch.Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(load_batches(gray(9), range(9), interrupt, 2))
    assert decoding() == []
