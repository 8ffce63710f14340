"""The learned prompts of a class, and a file of them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download, list_repo_files
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vitquant.core.errors import UserError, first_line
from vitquant.core.files import write_whole
from vitquant.core.progress import Progress

KEY = "vitquant-prompts"
FORMAT = 1
SCHEME = "hf://"
_ACCEPTED = f"a file that learn-prompts wrote, or {SCHEME}owner/name of a repository with one"
_TENSORS = ("ids", "positions", "learned")


@dataclass(frozen=True)
class PromptMetrics:
    """How the float model classifies images that were generated from prompts.

    Attributes:
        top1: the fraction of images that it assigns to their class.
        confidence: the mean probability that it gives to the class.
        similarity: mean cosine between the features of two images of a class.
    """

    top1: float
    confidence: float
    similarity: float

    @classmethod
    def mean(cls, metrics: Iterable["PromptMetrics"]) -> "PromptMetrics":
        rows = [(m.top1, m.confidence, m.similarity) for m in metrics]
        return cls(*(sum(column) / len(rows) for column in zip(*rows, strict=True)))


@dataclass(frozen=True)
class ClassPrompts:
    """What was learned for one class, M prompts.

    index, name: the class's output, and what texts call it. texts: what each prompt started as.
    ids: int32 (M, T), the texts as tokens. positions: int32 (M, L), where the learned embeddings
    go; -1 for none. learned: float16 (M, L, D). before, after: with the texts' own embeddings, and
    with the learned ones. steps: of Adam, for each prompt; each generates an image with its
    gradients. images: generated without gradients, for all prompts.
    """

    index: int
    name: str
    texts: list[str]
    ids: Tensor
    positions: Tensor
    learned: Tensor
    before: PromptMetrics
    after: PromptMetrics
    steps: list[int]
    images: int


@dataclass(frozen=True)
class PromptFile:
    """Learned prompts by class, and the header that says what they were learned with."""

    path: Path
    header: dict[str, Any]
    prompts: dict[int, ClassPrompts]


def write_prompts(path: Path, header: Mapping[str, Any], prompts: Iterable[ClassPrompts]) -> int:
    """Write a file of prompts, whole or not at all; returns its bytes.

    header: ``generator``, ``model``, ``settings`` and whatever else a reader should know.

    Raises:
        UserError: it cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    classes = []
    for item in sorted(prompts, key=lambda p: p.index):
        for key in _TENSORS:
            tensors[f"{item.index}.{key}"] = getattr(item, key).contiguous()
        about = {"index": item.index, "phrase": item.name, "texts": item.texts}
        about |= {"before": asdict(item.before), "after": asdict(item.after)}
        classes.append(about | {"steps": item.steps, "images": item.images})
    text = json.dumps({"format": FORMAT, **header, "classes": classes}, ensure_ascii=False)
    # One key alone: safetensors writes several in random order.
    data = save(tensors, metadata={KEY: text})
    write_whole(path, data)
    return len(data)


def read_prompts(path: Path, flag: str = "--prompts") -> PromptFile:
    """Read a file of prompts.

    Raises:
        UserError: it is missing, damaged, or something else.
    """
    if not path.is_file():
        raise UserError(f"{flag}: {path} is not a file; what learn-prompts wrote is accepted")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
            if text is None:
                raise UserError(
                    f"{flag}: {path} is a safetensors file, but not of prompts; what learn-prompts "
                    f"wrote is accepted"
                )
            header = json.loads(text)
            if header.get("format") != FORMAT:
                raise UserError(
                    f"{flag}: {path} has format {header.get('format')}, and this vitquant reads "
                    f"{FORMAT}; learn the prompts again, or use another release"
                )
            classes = header.pop("classes")
            return PromptFile(path, header, {c["index"]: _class(c, file) for c in classes})
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = first_line(error)
        raise UserError(
            f"{flag}: {path} is cut short or damaged ({reason}); what learn-prompts wrote is "
            f"accepted"
        ) from error


def _class(about: Mapping[str, Any], file: Any) -> ClassPrompts:
    ids, positions, learned = (file.get_tensor(f"{about['index']}.{key}") for key in _TENSORS)
    modes = len(about["texts"])
    if not modes == len(ids) == len(positions) == len(learned):
        raise ValueError(f"class {about['index']} has another number of prompts than of texts")
    if positions.shape != learned.shape[:2] or int(positions.max()) >= ids.shape[1]:
        raise ValueError(f"class {about['index']} has prompts that do not fit their text")
    return ClassPrompts(
        index=int(about["index"]),
        name=about["phrase"],
        texts=list(about["texts"]),
        ids=ids,
        positions=positions,
        learned=learned,
        before=PromptMetrics(**about["before"]),
        after=PromptMetrics(**about["after"]),
        # Older files do not have them.
        steps=list(about.get("steps", [])),
        images=int(about.get("images", 0)),
    )


@dataclass(frozen=True)
class Spent:
    """What learning took.

    Attributes:
        unchanged: classes all of whose texts were good enough.
        steps: of Adam, each an image of a prompt that is generated with its gradients.
        images: generated without gradients.
    """

    unchanged: int
    steps: int
    images: int

    @classmethod
    def of(cls, file: PromptFile) -> "Spent":
        classes = list(file.prompts.values())
        unchanged = sum(not any(prompts.steps) for prompts in classes if prompts.steps)
        steps = sum(sum(prompts.steps) for prompts in classes)
        return cls(unchanged, steps, sum(prompts.images for prompts in classes))


def summarize(
    learned: PromptFile, progress: Progress
) -> tuple[PromptMetrics, PromptMetrics, Spent]:
    """Say what learning changed and took, and return it: metrics before and after, and cost."""
    before = PromptMetrics.mean(prompts.before for prompts in learned.prompts.values())
    after = PromptMetrics.mean(prompts.after for prompts in learned.prompts.values())
    spent = Spent.of(learned)
    progress.say(
        f"top-1 {before.top1:.1%} as texts, {after.top1:.1%} learned; similarity within a "
        f"class {before.similarity:.3f} as texts, {after.similarity:.3f} learned"
    )
    progress.say(
        f"{spent.unchanged} of {len(learned.prompts)} classes stay as their texts; {spent.steps} "
        f"images were learned from, {spent.images} more were looked at"
    )
    return before, after, spent


def prompt_file(name: str) -> PromptFile:
    """Read the prompts that ``--prompts`` names.

    name: a path, ``hf://owner/name`` for a repository with one safetensors file, or
        ``hf://owner/name/file.safetensors``.

    Raises:
        UserError: there is no such file or repository, or it is something else.
    """
    if not name.startswith(SCHEME):
        return read_prompts(Path(name))
    owner, _, rest = name.removeprefix(SCHEME).partition("/")
    repository, _, file = rest.partition("/")
    if not owner or not repository:
        raise UserError(f"--prompts: {name!r} names no repository; accepted: {_ACCEPTED}")
    repository = f"{owner}/{repository}"
    try:
        file = file or _only_file(repository)
        path = hf_hub_download(repository, file)
    except UserError:
        raise
    except Exception as error:  # whatever the client raises over names, networks and rights
        reason = first_line(error)
        raise UserError(
            f"--prompts: {name} could not be read from the Hub ({reason}); accepted: {_ACCEPTED}"
        ) from error
    return read_prompts(Path(path))


def _only_file(repository: str) -> str:
    files = [f for f in list_repo_files(repository) if f.endswith(".safetensors")]
    if len(files) != 1:
        raise UserError(
            f"--prompts: {SCHEME}{repository} holds {len(files)} safetensors files; "
            f"{SCHEME}{repository}/FILE is accepted"
        )
    return files[0]
