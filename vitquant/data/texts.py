"""Texts for models that read them: a file with one a line, or names of classes in templates."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from timm.data import ImageNetInfo

from vitquant.core.errors import UserError
from vitquant.data.class_names import first_synonym
from vitquant.data.image_source import ListSource, SourceRequest

TEXTS = ".txt"
"""How the name of a file of texts ends."""
ACCEPTED_TEXTS = f"a UTF-8 text file (FILE{TEXTS}) with a text a line"

TEMPLATES = (
    "a photo of a {}.",
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
"""The first is CLIP's own for one prompt a class, the others the seven that its authors found to
matter most for ImageNet (Radford et al., arXiv 2103.00020, and the notebook that belongs to it)."""


def open_texts(path: Path, request: SourceRequest) -> ListSource:
    """The texts of a file, one a line; empty lines are left out.

    Raises:
        UserError: it is no such file, or holds no text.
    """
    if path.suffix != TEXTS:
        raise request.error(f"the model reads texts; {ACCEPTED_TEXTS} is accepted")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise request.error(f"cannot be read ({reason}); {ACCEPTED_TEXTS} is accepted") from error
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise request.error(f"holds no text; {ACCEPTED_TEXTS} is accepted")
    return ListSource(str(path), texts)


def template_texts(name: str, samples: int, seed: int) -> ListSource:
    """``samples`` texts, or all that there are: ImageNet-1k's class names in :data:`TEMPLATES`."""
    classes = [first_synonym(label) for label in ImageNetInfo().label_descriptions()]
    texts = list(dict.fromkeys(fill(t, name) for t in TEMPLATES for name in classes))
    return ListSource(name, random.Random(seed).sample(texts, min(samples, len(texts))))


def fill(template: str, name: str) -> str:
    """A template with the name of a class in place of its ``{}``."""
    return template.replace("{}", name)


def check_template(template: str, label: str) -> None:
    """Raise a UserError unless a template has one place for a name. label: what it is called."""
    if template.count("{}") != 1:
        raise UserError(
            f"{label}: {template!r} has no single {{}}; a text with {{}} in place of the name of "
            f"the class, such as {TEMPLATES[0]!r}, is accepted"
        )


def names_for_texts(folders: Iterable[str]) -> list[str]:
    """What texts call the classes that have such folders.

    A WordNet id becomes the first name that WordNet has for it, or all of its names where the first
    is another class's too. In other names, "_" becomes a space.
    """
    described = _descriptions(folders)
    short = [first_synonym(label) for label in described]
    count = Counter(short)
    return [
        first if count[first] == 1 else label for first, label in zip(short, described, strict=True)
    ]


def _descriptions(folders: Iterable[str]) -> list[str]:
    info, found = ImageNetInfo(), []
    for folder in folders:
        try:
            found.append(info.label_name_to_description(folder))
        except KeyError:  # not a WordNet id
            found.append(folder.replace("_", " "))
    return found
