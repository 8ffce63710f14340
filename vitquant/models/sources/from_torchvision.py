"""torchvision's vision transformers by name, with local weights.

torchvision publishes weights as pickles, and vitquant reads none.
"""

import difflib
import re
from pathlib import Path
from typing import Any

import torchvision
from torch import Tensor
from torchvision.models.vision_transformer import interpolate_embeddings

from vitquant.config.values import format_input_size
from vitquant.core.errors import UserError
from vitquant.models.adapter import ModelAdapter
from vitquant.models.model import Model, ModelIdentity
from vitquant.models.rewrites.multihead_attention import replace_multihead_attention
from vitquant.models.timm_adapter import imagenet_classes
from vitquant.models.torchvision_adapter import CLASSIFIERS, TORCHVISION, build
from vitquant.models.weight_files.load import load_matching
from vitquant.models.weight_files.match_names import Matched, Wanted
from vitquant.models.weights import read_tensors

PREFIX = "torchvision:"
ADAPTER: ModelAdapter = TORCHVISION
NAMES = (
    "vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14", "swin_t", "swin_s", "swin_b",
    "swin_v2_t", "swin_v2_s", "swin_v2_b", "maxvit_t",
)  # fmt: skip
ACCEPTED = f"{PREFIX}{NAMES[0]} and others of torchvision"


def names() -> list[str]:
    """What may be meant by a name that is misspelt."""
    return [PREFIX + name for name in NAMES]


def claims(name: str) -> bool:
    """Whether a name is said to be one of torchvision's."""
    return name.startswith(PREFIX)


def load(
    name: str,
    weights: Path | None = None,
    num_classes: int | None = None,
    input_size: tuple[int, int] | None = None,
) -> Model:
    """A float model with the weights of a file, in eval mode.

    Args:
        name: ``torchvision:`` and an architecture, perhaps with a dot and a name of pretrained
            weights, such as ``torchvision:vit_b_16.IMAGENET1K_SWAG_E2E_V1``. These, or else
            torchvision's default weights, say the input size and the preprocessing.
        weights: a safetensors file of torchvision's parameter names.
        num_classes: the classes in ``weights``, where they are not 1000; 0 for no classifier.
        input_size: (height, width) of the images in pixels. A ViT's have to be alike, and its
            positions are resampled.

    Raises:
        UserError: no such model, no weights, or weights that do not fit.
    """
    architecture, _, tag = name.removeprefix(PREFIX).partition(".")
    if architecture not in NAMES:
        near = difflib.get_close_matches(architecture, NAMES, n=1, cutoff=0.7)
        meant = f" (did you mean {PREFIX}{near[0]}?)" if near else ""
        raise UserError(f"MODEL: {name!r} is not a model{meant}; accepted: {', '.join(names())}")
    pretrained = _pretrained(architecture, tag)
    if weights is None:
        raise UserError(
            f"MODEL: torchvision publishes the weights of {name!r} as a pickle, and vitquant reads "
            f"no pickles; give a safetensors file with --weights, such as this line writes: "
            f"{_conversion(architecture, pretrained.name)}"
        )
    prepared = preprocessing(pretrained)
    if input_size is not None:
        prepared["input_size"] = (3, *input_size)
    arguments = _arguments(architecture, prepared["input_size"][1:], num_classes)
    module = build(architecture, arguments)
    _load_weights(module, weights, resize=input_size is not None)
    module.requires_grad_(False)
    state = module.state_dict()
    identity = ModelIdentity.of(
        state,
        name=name,
        architecture=architecture,
        arguments=arguments,
        source=TORCHVISION.source,
    )
    replace_multihead_attention(module)
    count = TORCHVISION.num_classes(module)
    classes = imagenet_classes(count) if count else None
    return Model(module, identity, prepared, classes, adapter=TORCHVISION)


def preprocessing(pretrained: Any) -> dict[str, Any]:
    """The transforms of pretrained weights of torchvision as arguments for timm."""
    preset = pretrained.transforms()
    (size,), (resized,) = preset.crop_size, preset.resize_size
    return {
        "input_size": (3, size, size),
        "interpolation": preset.interpolation.value,
        "mean": tuple(preset.mean),
        "std": tuple(preset.std),
        "crop_pct": size / resized,
        "crop_mode": "center",
    }


def _pretrained(architecture: str, tag: str) -> Any:
    """The pretrained weights of a tag, by default torchvision's default: a member of its enum."""
    known = torchvision.models.get_model_weights(architecture)
    if not tag:
        return known.DEFAULT
    if tag not in known.__members__:
        tags = ", ".join(weights.name for weights in known)
        raise UserError(f"MODEL: {architecture} has no weights {tag!r}; accepted: {tags}")
    return known[tag]


def _conversion(architecture: str, tag: str) -> str:
    """The line for a shell that downloads pretrained weights and writes them as safetensors."""
    return (
        f'python -c "import torchvision.models as m, safetensors.torch as s; '
        f"s.save_file(m.get_model('{architecture}', weights='{tag}').state_dict(), "
        f"'{architecture}.safetensors')\""
    )


def _arguments(architecture: str, size: tuple[int, int], num_classes: int | None) -> dict[str, Any]:
    """What to build the network with, beside its name."""
    arguments: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    if architecture.startswith("vit_"):
        patch = int(architecture.rpartition("_")[2])
        if size[0] != size[1] or size[0] % patch:
            raise UserError(
                f"--input-size: {format_input_size(*size)} does not suit {architecture}; a "
                f"multiple of {patch} is accepted"
            )
        if size[0] != 224:
            arguments["image_size"] = size[0]
    return arguments


def _load_weights(module: Any, path: Path, resize: bool) -> None:
    tensors = {_current(n): t for n, t in read_tensors(path, "--weights").items()}
    classifiers = tuple(f"{name}." for name in CLASSIFIERS)
    wanted = Wanted(module.state_dict(), TORCHVISION.source, classifiers, resize)

    def resample(found: Matched) -> dict[str, Tensor]:
        return interpolate_embeddings(module.image_size, module.patch_size, found.tensors)

    load_matching(module, tensors, wanted, path, resample)


def _current(name: str) -> str:
    """A parameter's name as torchvision has it now; the published files of ViTs have older ones."""
    return re.sub(r"\.linear_([12])\.", lambda m: ".0." if m[1] == "1" else ".3.", name)
