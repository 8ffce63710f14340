"""A model with everything that must travel with it."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import timm
import torch
from PIL import Image
from torch import nn

from vitquant.data.class_names import ClassNames


@dataclass(frozen=True)
class ModelIdentity:
    """Which float model this is, or was before it was quantized.

    name: as the user wrote it. architecture: timm's name of it, without the tag. tag: of the
    pretrained weights, empty where they came from a file. arguments: further arguments of
    ``timm.create_model``. weights_sha256: of the float weights, see ``core.hashing``.
    """

    name: str
    architecture: str
    tag: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""
    float_bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Model:
    """A network in eval mode with its identity, preprocessing and class names.

    preprocessing: what ``timm.data.create_transform`` needs to show it an image (input_size as
    (C, H, W) in pixels, mean, std, interpolation, crop_pct, crop_mode). max_batch: how many images
    it takes at once, None for any number.
    """

    module: nn.Module
    identity: ModelIdentity
    preprocessing: dict[str, Any]
    classes: ClassNames | None
    max_batch: int | None = None

    @property
    def num_classes(self) -> int:
        return int(getattr(self.module, "num_classes", 0) or 0)

    @property
    def parameters(self) -> int:
        """How many the network has."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    @property
    def image_cost(self) -> int:
        """Parameters of the float model times pixels of an image; grows as its operations do."""
        _, height, width = self.input_size
        # The integers of a quantized model are no parameters.
        return max(self.parameters, self.identity.float_bytes // 4) * height * width

    @property
    def input_size(self) -> tuple[int, int, int]:
        return tuple(self.preprocessing["input_size"])

    def preprocesses_like(self, other: "Model") -> bool:
        """Whether one transform serves both. What was read from a file has lists for tuples."""
        return json.dumps(self.preprocessing, sort_keys=True) == json.dumps(
            other.preprocessing, sort_keys=True
        )

    def transform(self) -> Callable[[Image.Image], torch.Tensor]:
        """The model's own evaluation transform: PIL image → (C, H, W) float32."""
        return timm.data.create_transform(**self.preprocessing, is_training=False)

    def to(self, device: torch.device | str) -> "Model":
        self.module.to(device)
        return self
