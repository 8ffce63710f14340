"""Models of transformers: ``hf-hub:owner/name``, or a folder with a ``config.json``.

No code of a repository is run, and nothing is read but JSON, texts and safetensors.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vitquant.core.errors import UserError, first_line
from vitquant.core.hashing import sha256
from vitquant.data.class_names import ClassNames
from vitquant.models.adapter import ModelAdapter
from vitquant.models.image_processor import read_preprocessing
from vitquant.models.model import Model, ModelIdentity
from vitquant.models.timm_adapter import imagenet_classes
from vitquant.models.transformers_adapter import (
    FAMILIES,
    TEXT,
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


def load(name: str, weights: Path | None = None, num_classes: int | None = None) -> Model:
    """A float model in eval mode, with classes from ``id2label``.

    Args:
        name: a folder or ``hf-hub:owner/name[@revision]``, followed by ``#text`` for CLIP's text
            tower; a model of two towers is otherwise that of images.
        weights, num_classes: refused; the folder has both.

    Raises:
        UserError: a file is missing or of another kind, or the family is none of
            :data:`vitquant.models.transformers_adapter.FAMILIES`.
    """
    if weights is not None or num_classes is not None:
        raise UserError(
            f"--weights, --num-classes: {name} is a model of transformers, whose folder has both; "
            f"leave them out"
        )
    plain, tower = split_tower(name)
    folder = download(plain) if plain.startswith(HUB) else Path(plain)
    raw = read_json(folder / CONFIG, name)
    cls = _network_class(raw, name, tower)
    module, config, digest, float_bytes = _build(cls, folder, raw, name)
    architecture = cls.__name__
    preprocessing = {} if tower == TEXT else read_preprocessing(folder, name)
    identity = ModelIdentity(
        name=name,
        architecture=architecture,
        arguments={"config": plain_config(config)},
        weights_sha256=digest,
        float_bytes=float_bytes,
        source=ADAPTER.source,
    )
    classes = _classes(raw, name) if ADAPTER.num_classes(module) else None
    model = Model(module, identity, preprocessing, classes, adapter=ADAPTER)
    _check_runs(model, name)
    return model


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


def _build(
    cls: Any, folder: Path, raw: dict[str, Any], name: str
) -> tuple[nn.Module, Any, str, int]:
    """A network with its weights, its config, and the hash and the size of the weights."""
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
    state = module.state_dict()
    digest, size = sha256(state), sum(t.numel() * t.element_size() for t in state.values())
    module.eval().requires_grad_(False)
    rewrite(module)
    return module, config, digest, size


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
        same = sum(_first(a) == _first(b) for a, b in zip(found, known.names, strict=True))
        if same >= _SAME_NAMES * len(found):
            return ClassNames(known.ids, found)
    return ClassNames(found, found)


def _first(label: str) -> str:
    return label.partition(",")[0].strip().casefold()


def _check_runs(model: Model, name: str) -> None:
    """Raise a UserError if the network does not take images of the processor's size."""
    if not model.preprocessing:
        return
    try:
        with torch.no_grad():
            model(torch.zeros(1, *model.input_size))
    except Exception as error:  # whatever its forward pass raises
        raise UserError(
            f"MODEL: {name} does not take the images of its preprocessor_config.json, "
            f"{model.input_size} ({first_line(error)}); sizes that belong together are accepted"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' own progress bars and remarks."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
