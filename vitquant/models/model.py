"""A model with everything that must travel with it."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vitquant.core.hashing import sha256
from vitquant.data.class_file import read_class_names
from vitquant.data.class_names import ClassNames, LabelSpace
from vitquant.models.adapter import MODES, ModelAdapter, TokenLayout
from vitquant.models.processors.tokenizer import example_tokens, text_transform
from vitquant.models.timm_adapter import TIMM

# Of a patch of a ViT-B/16: what a token costs is what such a patch does.
_PIXELS_OF_A_TOKEN = 256


@dataclass(frozen=True)
class ModelIdentity:
    """Which float model this is, or was before it was quantized.

    Attributes:
        name: as the user wrote it.
        architecture: the library's name of it, without the tag.
        tag: of the pretrained weights; empty where they came from a file or with a module.
        arguments: what else the library needs to build it.
        weights_sha256: SHA-256 of the float weights (docs/reference/checkpoint.md).
        float_bytes: size of the float weights.
        source: the library that builds it.
    """

    name: str
    architecture: str
    tag: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""
    float_bytes: int = 0
    source: str = TIMM.source

    @classmethod
    def of(cls, state: Mapping[str, Tensor], **fields: Any) -> "ModelIdentity":
        """Of a network whose float weights are ``state``, by the library's names of them."""
        size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
        return cls(**fields, weights_sha256=sha256(state), float_bytes=size)

    def to_json(self) -> dict[str, Any]:
        """Plain values; the inverse is ``ModelIdentity(**value)``. No source means timm."""
        value = asdict(self)
        if self.source == TIMM.source:
            del value["source"]
        return value


@dataclass
class Model:
    """A network in eval mode with its identity, preprocessing and class names.

    Attributes:
        module: the network.
        identity: of the float model.
        preprocessing: arguments of ``timm.data.create_transform``, whatever the model's source:
            ``input_size`` as (C, H, W) in pixels, ``mean``, ``std``, ``interpolation``,
            ``crop_pct``, ``crop_mode``. Where a function in Python is the transform: its
            ``input_size``, and ``mode`` if it takes images in another mode than RGB.
            Of a model that reads texts: ``input_size`` as (L,), the
            number of tokens, and ``tokenizer``, the text of a ``tokenizer.json``.
        classes: ``ids`` and ``names`` of the outputs; None where they are not known.
        max_batch: how many images the network takes at once; None for any number.
        adapter: how to ask a network of this library.
    """

    module: nn.Module
    identity: ModelIdentity
    preprocessing: dict[str, Any]
    classes: ClassNames | None
    max_batch: int | None = None
    adapter: ModelAdapter = TIMM

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W); without a classifier, the output."""
        return self.adapter.forward(self.module, images)

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, classes) of images (B, C, H, W) and what the classifier saw (B, D)."""
        return self.adapter.features(self.module, images)

    @property
    def num_classes(self) -> int:
        """How many logits there are; 0 without a classifier."""
        return self.adapter.num_classes(self.module)

    @property
    def label_space(self) -> LabelSpace:
        """The number of classes and their names, which labels are matched with."""
        return LabelSpace(self.num_classes, self.classes)

    @property
    def classifier_names(self) -> set[str]:
        """Names of the layers that give the logits."""
        return self.adapter.classifier_names(self.module)

    @property
    def tokens(self) -> TokenLayout:
        """How many class tokens, registers and patches a row of tokens has."""
        return self.adapter.tokens(self.module)

    @property
    def parameters(self) -> int:
        """How many the network has."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    @property
    def image_cost(self) -> int:
        """Parameters of the float model times pixels of an image; grows as its operations do."""
        pixels = math.prod(self.input_size[1:])
        if self.reads_text:
            pixels = self.input_size[0] * _PIXELS_OF_A_TOKEN
        # The integers of a quantized model are no parameters.
        return max(self.parameters, self.identity.float_bytes // 4) * pixels

    @property
    def reads_text(self) -> bool:
        """Whether its inputs are tokens (B, L) int64 of texts, and no images."""
        return "tokenizer" in self.preprocessing

    @property
    def input_size(self) -> tuple[int, ...]:
        """(C, H, W) of an image, in pixels, or (L,) of a text, in tokens."""
        return tuple(self.preprocessing["input_size"])

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) of an image, in pixels."""
        _, height, width = self.input_size
        return height, width

    def example_inputs(self) -> Tensor:
        """(2, ...): noise, or tokens of two texts; enough to see which modules run."""
        if self.reads_text:
            return example_tokens(self.preprocessing)
        return example_inputs(self.input_size)

    @property
    def image_mode(self) -> str:
        """The mode of Pillow in which images go through the transform."""
        mode: str = self.preprocessing.get("mode", MODES.get(self.input_size[0], "RGB"))
        return mode

    def preprocesses_like(self, other: "Model") -> bool:
        """Whether one transform serves both. What was read from a file has lists for tuples."""
        return self.adapter.source == other.adapter.source and json.dumps(
            self.preprocessing, sort_keys=True
        ) == json.dumps(other.preprocessing, sort_keys=True)

    def with_class_names(self, file: str | None) -> "Model":
        """With the class names in a file of the user, a line for each output; as it is for None.

        Raises:
            UserError: the file cannot be read, or has another number of lines.
        """
        if file is None:
            return self
        names = read_class_names(Path(file), self.identity.name, self.num_classes)
        return replace(self, classes=names)

    def transform(self) -> Callable[[Any], Tensor]:
        """The model's own evaluation transform: PIL image → (C, H, W) float32, or text → (L,)."""
        if self.reads_text:
            return text_transform(self.preprocessing)
        return self.adapter.transform(self.preprocessing)

    def to(self, device: torch.device | str) -> "Model":
        """Move the network to a device. Returns the same object."""
        self.module.to(device)
        return self


def example_inputs(size: tuple[int, ...], seed: int = 0) -> Tensor:
    """(2, C, H, W) of Gaussian noise: enough to see which modules run."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, *size, generator=generator)
