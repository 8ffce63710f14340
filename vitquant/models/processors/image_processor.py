"""What an image processor of transformers does, in the words of ``timm.data.create_transform``."""

import math
from pathlib import Path
from typing import Any

from PIL import Image

from vitquant.core.errors import UserError, first_line

PROCESSOR = "preprocessor_config.json"


def read_preprocessing(folder: Path, name: str) -> dict[str, Any]:
    """The preprocessing of a model's folder; see :class:`vitquant.models.model.Model`.

    Images are resized with Pillow, as transformers' processors of the kind ``pil`` do; those that
    resize tensors give values that differ by a level or two of 255.

    Raises:
        UserError: there is no processor, or it does what cannot be said in those words.
    """
    from transformers import AutoImageProcessor

    try:
        processor: Any = AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # whatever transformers raises over a file
        raise UserError(
            f"MODEL: {name} has no {PROCESSOR} that transformers can read "
            f"({first_line(error)}); it says how images are resized and normalized, and is needed"
        ) from error
    return _Steps(processor, name).preprocessing()


class _Steps:
    def __init__(self, processor: Any, name: str) -> None:
        self.processor = processor
        self.name = name

    def preprocessing(self) -> dict[str, Any]:
        resized, mode = self._resized()
        height, width = size = self._cropped(resized, mode)
        if mode == "center" and height != width:
            raise self._refused("a crop that is not square")
        own = self.processor
        rescaled = own.do_rescale and math.isclose(own.rescale_factor, 1 / 255, rel_tol=1e-3)
        if not rescaled:
            raise self._refused("a rescale_factor other than 1/255")
        mean, std = (own.image_mean, own.image_std) if own.do_normalize else ((0.0,), (1.0,))
        channels = max(3 if len(mean) == 1 else len(mean), 1)
        return {
            "input_size": (channels, height, width),
            "interpolation": Image.Resampling(own.resample).name.lower(),
            "mean": tuple(mean) * (channels // len(mean)),
            "std": tuple(std) * (channels // len(std)),
            "crop_pct": _crop_pct(size, resized),
            "crop_mode": mode,
        }

    def _resized(self) -> tuple[tuple[int, int], str]:
        """(height, width), whether of the whole image, "squash", or of its shorter side."""
        height, width, shortest, longest = _sides(self.processor.size)
        if self.processor.do_resize:
            if height and width:
                return (height, width), "squash"
            if shortest and not longest:
                return (shortest, shortest), "center"
        raise self._refused("no resizing to a fixed size")

    def _cropped(self, resized: tuple[int, int], mode: str) -> tuple[int, int]:
        height, width, *_ = _sides(getattr(self.processor, "crop_size", None))
        if getattr(self.processor, "do_center_crop", False) and height and width:
            return height, width
        if mode == "center":
            raise self._refused("images of a size that depends on their shape")
        return resized

    def _refused(self, what: str) -> UserError:
        return UserError(
            f"MODEL: {self.name}: {PROCESSOR} asks for {what}, which vitquant does not do; "
            f"resizing, a center crop and normalization are accepted"
        )


def _sides(size: Any) -> list[int | None]:
    """Height, width, shorter and longer side, of a size of transformers: before 5.4 a dict."""
    found = size if isinstance(size, dict) else vars(size) if size is not None else {}
    return [found.get(name) for name in ("height", "width", "shortest_edge", "longest_edge")]


def _crop_pct(size: tuple[int, int], resized: tuple[int, int]) -> float:
    """What timm divides the size by, and rounds down, to get the size before the crop."""
    exact = size[0] / resized[0]
    return exact if math.floor(size[0] / exact) == resized[0] else size[0] / (resized[0] + 0.5)
