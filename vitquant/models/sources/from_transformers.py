"""Models of transformers: ``hf-hub:owner/name``, or a folder with a ``config.json``.

No code of a repository is run, and nothing is read but JSON, texts and safetensors.
"""

import operator
import re
from pathlib import Path
from typing import Any

import torch

from vitquant.config.values import format_input_size
from vitquant.core.errors import UserError, first_line
from vitquant.data.class_names import ClassNames, first_synonym
from vitquant.models.adapter import ModelAdapter
from vitquant.models.model import Model, ModelIdentity
from vitquant.models.processors.image_processor import PROCESSOR, read_preprocessing
from vitquant.models.processors.tokenizer import read_tokenizer
from vitquant.models.rewrites.position_embedding import ANY_SIZE, resized
from vitquant.models.timm_adapter import imagenet_classes
from vitquant.models.transformers_adapter import (
    FAMILIES,
    TEXT,
    TEXT_TOWERS,
    TRANSFORMERS,
    attention,
    plain_config,
    rewrite,
)
from vitquant.models.transformers_files import (
    CONFIG,
    HUB,
    download,
    hub_config,
    quiet,
    read_json,
    split_tower,
)
from vitquant.models.weights import read_tensors

ADAPTER: ModelAdapter = TRANSFORMERS
ACCEPTED = "a folder with config.json of a model of transformers"
# Half of the names of ImageNet's classes differ between lists in what follows the first comma.
_SAME_NAMES = 0.9


def names() -> list[str]:
    """None: they are not known before they are asked for."""
    return []


def claims(name: str) -> bool:
    """Whether it is a folder with a model of transformers, or such a repository of the Hub."""
    plain, _ = split_tower(name)
    if plain.startswith(HUB):
        path = hub_config(plain)
        return path is not None and "model_type" in read_json(path, name)
    path = Path(plain) / CONFIG
    return path.is_file() and "model_type" in read_json(path, name)


def load(
    name: str,
    weights: Path | None = None,
    num_classes: int | None = None,
    input_size: tuple[int, int] | None = None,
) -> Model:
    """A float model in eval mode, with classes from ``id2label``.

    Args:
        name: a folder or ``hf-hub:owner/name[@revision]``, followed by ``#text`` for CLIP's text
            tower; a model of two towers is otherwise that of images.
        weights, num_classes: refused; the folder has both.
        input_size: (height, width) of the images in pixels, alike, if not the processor's.

    Raises:
        UserError: a file is missing or of another kind, or the family is none of
            :data:`vitquant.models.transformers_adapter.FAMILIES`.
    """
    if weights is not None or num_classes is not None:
        raise UserError(
            f"{'--num-classes' if weights is None else '--weights'}: {name} is a model of "
            f"transformers, whose folder says it; leave it out"
        )
    plain, tower = split_tower(name)
    folder = download(plain) if plain.startswith(HUB) else Path(plain)
    raw = read_json(folder / CONFIG, name)
    cls = _network_class(raw, name, tower)
    classes = _classes(raw, name)
    module = _build(cls, folder, raw, name)
    state = module.state_dict()
    if cls.__name__ in TEXT_TOWERS:
        if input_size is not None:
            raise UserError(f"--input-size: {name} reads texts; leave it out")
        preprocessing = read_tokenizer(folder, name, module.config)
    else:
        preprocessing = read_preprocessing(folder, name)
        module = _fitted(module, preprocessing, input_size, name)
    rewrite(module)
    identity = ModelIdentity.of(
        state,
        name=name,
        architecture=cls.__name__,
        arguments={"config": plain_config(module.config)},
        source=ADAPTER.source,
    )
    classes = classes if ADAPTER.num_classes(module) else None
    return Model(module, identity, preprocessing, classes, adapter=ADAPTER)


def _network_class(raw: dict[str, Any], name: str, tower: str) -> Any:
    """What to build, a class of transformers."""
    import transformers

    kind, architecture = raw["model_type"], (raw.get("architectures") or [""])[0]
    family = FAMILIES.get(kind)
    if family is None:
        raise UserError(
            f"MODEL: {name} is a model of the type {kind!r}; accepted of transformers: "
            f"{', '.join(FAMILIES)}"
        )
    if "quantization_config" in raw:
        raise UserError(f"MODEL: {name} is quantized already; a float model is accepted")
    if tower and not (tower == TEXT and family.text):
        raise UserError(
            f"MODEL: {name} has no tower {tower!r}; '#{TEXT}' is accepted behind models of the "
            f"types {', '.join(k for k, f in FAMILIES.items() if f.text)}"
        )
    # Files written by hand often do not say.
    wanted = family.classes.get(architecture or next(iter(family.classes)))
    if wanted is None:
        raise UserError(
            f"MODEL: {name} is a {architecture}; accepted of the type {kind}: "
            f"{', '.join(family.classes)}"
        )
    found = getattr(transformers, family.text if tower else wanted, None)
    if found is None:
        raise UserError(
            f"MODEL: the installed transformers {transformers.__version__} has no {wanted}; a "
            f"newer one is needed"
        )
    return found


def _build(cls: Any, folder: Path, raw: dict[str, Any], name: str) -> Any:
    """A network with its weights."""
    tensors = read_tensors(folder, "MODEL")
    with quiet():
        try:
            config = cls.config_class.from_pretrained(folder, local_files_only=True)
            if "projection_dim" in raw:  # which a model of two towers says for both
                config.projection_dim = raw["projection_dim"]
            module, report = cls.from_pretrained(
                None,
                config=config,
                state_dict=tensors,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                attn_implementation=attention(cls),
                dtype=torch.float32,
            )
        except Exception as error:  # whatever transformers raises over a config
            raise UserError(
                f"MODEL: transformers cannot build {name} ({first_line(error)}); a folder that "
                f"save_pretrained wrote is accepted"
            ) from error
    _check_loaded(report, name)
    return module.eval().requires_grad_(False)


def _fitted(
    module: Any, preprocessing: dict[str, Any], size: tuple[int, int] | None, name: str
) -> Any:
    """The network for images of ``size``, or else of the processor's, which is changed in place.

    Raises:
        UserError: it takes none of that size.
    """
    flag = "MODEL" if size is None else "--input-size"
    channels, *own = preprocessing["input_size"]
    height, width = size or own
    preprocessing["input_size"] = (channels, height, width)
    config = getattr(module.config, "vision_config", module.config)
    if size and (height % config.patch_size or width % config.patch_size):
        raise UserError(
            f"{flag}: {format_input_size(height, width)} does not suit {name}, whose patches have "
            f"{config.patch_size} pixels a side; multiples of {config.patch_size} are accepted"
        )
    try:
        if (size or config.model_type in ANY_SIZE) and height == width != config.image_size:
            module = resized(module, height)
        with torch.no_grad():
            module(torch.zeros(1, *preprocessing["input_size"]))
    except Exception as error:  # whatever its forward pass raises
        raise UserError(
            f"{flag}: {name} does not take images of {height}x{width} pixels and {channels} "
            f"channels ({first_line(error)}); the size in {CONFIG} is accepted, and others for "
            f"most families; {PROCESSOR} has to ask for the same"
        ) from error
    return module


def _check_loaded(report: dict[str, Any], name: str) -> None:
    for key, found, wanted in sorted(report["mismatched_keys"]):
        raise UserError(
            f"MODEL: {name}: {key} is {tuple(found)} in the weights and {tuple(wanted)} by "
            f"{CONFIG}, whose num_labels, id2label and sizes have to be those of the weights"
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise UserError(
            f"MODEL: {name}: the weights lack {missing[0]} ({len(missing)} names missing); those "
            f"of the architecture in {CONFIG} are accepted"
        )


def _classes(raw: dict[str, Any], name: str) -> ClassNames | None:
    """What ``id2label`` says; None where it only numbers them."""
    labels = raw.get("id2label") or {}
    try:
        numbered = {int(key): str(value) for key, value in labels.items()}
    except ValueError as error:
        raise UserError(
            f"MODEL: {name}: id2label in {CONFIG} has a key that is no number; the indices of the "
            f"outputs are accepted"
        ) from error
    if sorted(numbered) != list(range(len(numbered))):
        raise UserError(
            f"MODEL: {name}: id2label in {CONFIG} has the keys {min(numbered)} to {max(numbered)} "
            f"for {len(numbered)} names; 0 to {len(numbered) - 1} are accepted"
        )
    found = tuple(numbered[i] for i in range(len(numbered)))
    if not found or all(re.fullmatch(r"LABEL_\d+", label) for label in found):
        return None
    known = imagenet_classes(len(found))
    if known is not None:
        firsts = ([first_synonym(n).casefold() for n in names] for names in (found, known.names))
        same = sum(map(operator.eq, *firsts))
        if same >= _SAME_NAMES * len(found):
            return ClassNames(known.ids, found)
    return ClassNames(found, found)
