"""Images of a data set that can only be read from its beginning to its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import Any

from PIL import Image

from vitquant.core.errors import UserError, first_line
from vitquant.data.image_source import SourceRequest

# Many more than threads ask at a time; who begins far behind passes over everything before.
_KEPT = 256


class StreamSource:
    """Images of an iterable data set, for one pass in order, as an evaluation makes.

    Nothing is kept but what was passed over last, so that threads may ask slightly out of order.
    Asking for an image that is gone starts again from the beginning.

    output_of: the model's output for each class number of the data set; None where it has none.

    Raises UserError if a class has no output: what follows could then not be numbered ahead.
    """

    def __init__(
        self, name: str, dataset: Any, request: SourceRequest, output_of: Sequence[int | None]
    ) -> None:
        if None in output_of:
            raise request.error(
                "a streamed data set may only have classes that the model has; "
                "hfds/… is accepted, or a folder of images"
            )
        self.name = name
        self.skipped: Mapping[str, int] = {}
        self._dataset = dataset
        self._request = request
        self._output_of = output_of
        self._lock = Lock()
        self._waiting: dict[int, Image.Image] = {}
        self._next = 0
        self._samples: Iterator[Any] = iter(())
        # Data sets that do not say how long they are have to be counted: a whole pass.
        self._length: int = len(dataset) or self._count()
        if not self._length:
            raise request.error("holds no images; at least one is needed")
        self._labels = [-1] * self._length
        self.labels: Sequence[int] | None = self._labels
        self._samples = self._restart()

    def __len__(self) -> int:
        return self._length

    def image(self, i: int) -> Image.Image:
        """Image i, RGB; `labels[i]` is known from then on.

        Raises UserError if the data set ends early, or if it cannot be read.
        """
        with self._lock:
            if i < self._next and i not in self._waiting:
                self._samples = self._restart()
            while self._next <= i:
                self._waiting[self._next] = self._take()
                self._waiting.pop(self._next - _KEPT, None)
                self._next += 1
            return self._waiting.pop(i)

    def _restart(self) -> Iterator[Any]:
        self._waiting.clear()
        self._next = 0
        return iter(self._dataset)

    def _count(self) -> int:
        try:
            return sum(1 for _ in self._dataset)
        except Exception as error:
            raise self._unreadable(error) from error

    def _take(self) -> Image.Image:
        try:
            sample, target = next(self._samples)
            image = self._request.reading.rgb(sample, f"image {self._next}")
        except StopIteration:
            raise self._request.error(
                f"gave {self._next} of the {self._length} images that it announces; one that can "
                "be read as a whole is accepted (damaged images are left out by its reader)"
            ) from None
        except Exception as error:
            raise self._unreadable(error) from error
        self._labels[self._next] = self._output(as_label(target, self._request))
        return image

    def _unreadable(self, error: Exception) -> UserError:
        return self._request.error(
            f"cannot be read beyond image {self._next} ({first_line(error)}); "
            "a data set whose images are all readable is accepted"
        )

    def _output(self, label: int) -> int:
        if label >= len(self._output_of):
            raise self._request.error(
                f"has the label {label}; labels from 0 to {len(self._output_of) - 1} are accepted"
            )
        output = self._output_of[label] if label >= 0 else None
        return -1 if output is None else output


def as_label(target: Any, request: SourceRequest) -> int:
    """One class number, -1 where a data set gives None or a negative one.

    Raises UserError for anything else, such as the lists of a data set with several labels.
    """
    if target is None:
        return -1
    try:
        return max(-1, int(target))
    except (TypeError, ValueError):
        raise request.error(
            f"has the label {target!r}; one class number for each image is accepted"
        ) from None
