"""The card of learned prompts: what they are for, how good they are, and how to use them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from huggingface_hub import ModelCardData

from vitquant.config.values import DEFAULT_GENERATOR, MINIATURE_GENERATOR
from vitquant.hub.base_model import BaseModel
from vitquant.hub.markdown import console, table
from vitquant.models.model import ModelIdentity
from vitquant.synthesis.diffusion.prompt_file import SCHEME, ClassPrompts, PromptFile, PromptMetrics

PROMPTS, SHEET = "prompts.safetensors", "prompts.png"
TAG = "vitquant-prompts"
_HARDEST = 10
# Of the generators that vitquant chooses by itself; of others, nothing is known here.
_LICENSES = {
    DEFAULT_GENERATOR: {
        "license": "other",
        "license_name": "stability-ai-community",
        "license_link": f"https://huggingface.co/{DEFAULT_GENERATOR}/blob/main/LICENSE.md",
    },
    MINIATURE_GENERATOR: {"license": "apache-2.0"},
}


@dataclass(frozen=True)
class PublishedPrompts:
    """What goes into a repository.

    model, base: the float model, and where it is. command: how the prompts were learned.
    """

    repository: str
    file: PromptFile
    model: ModelIdentity
    base: BaseModel
    command: str | None = None

    @property
    def generator(self) -> dict[str, Any]:
        """Name and hash, as the file has them."""
        return dict(self.file.header["generator"])

    @property
    def tags(self) -> list[str]:
        """What the repository is found by."""
        return hash_tags(self.model.weights_sha256, self.generator["sha256"])


def hash_tags(model_sha256: str, generator_sha256: str) -> list[str]:
    """Tags of prompts for a float model and a generator with these hashes."""
    return [
        TAG,
        f"vitquant-model-{model_sha256[:16]}",
        f"vitquant-generator-{generator_sha256[:16]}",
    ]


def prompts_card(published: PublishedPrompts) -> str:
    """README.md, in Markdown with the Hub's front matter."""
    return "\n\n".join([f"---\n{_front_matter(published)}\n---", *_body(published)]) + "\n"


def _front_matter(published: PublishedPrompts) -> str:
    data = ModelCardData(library_name="vitquant", tags=["vitquant", *published.tags])
    fields = _LICENSES.get(published.generator["name"], {"license": "unknown"})
    for name, value in fields.items():
        data[name] = value
    if published.base.repository:
        data["base_model"] = published.base.repository
    return data.to_yaml()


def _body(published: PublishedPrompts) -> Iterable[str]:
    model, generator = published.model.name, published.generator["name"]
    name = f"{SCHEME}{published.repository}"
    yield f"# {published.repository.partition('/')[2]}"
    yield (
        f"Prompts for the text-to-image model `{generator}`, learned so that `{model}` recognizes "
        f"the images. With them, vitquant quantizes that model without real images:"
    )
    chosen = "" if generator in _LICENSES else f" --generator {generator}"
    yield console([f"vitquant quantize {model} --calib synthetic{chosen} --prompts {name}"])
    yield table(("", ""), _facts(published))
    yield f"![Images that the prompts draw]({SHEET})"
    yield (
        "An image for each of the first prompts of some classes. A red frame marks what the float "
        "model takes for another class."
    )
    yield "## How well they are recognized"
    yield from _metrics(list(published.file.prompts.values()))
    if published.command:
        yield "## How they were learned"
        yield console([published.command])


def _facts(published: PublishedPrompts) -> Iterable[tuple[str, str]]:
    prompts, header = published.file.prompts.values(), published.file.header
    repository = published.base.repository
    link = f", [{repository}](https://huggingface.co/{repository})" if repository else ""
    yield "float model", f"`{published.model.name}`{link}"
    yield "SHA-256 of its weights", f"`{published.model.weights_sha256}`"
    yield "generator", f"`{published.generator['name']}`"
    yield "SHA-256 of its weights and scheduler", f"`{published.generator['sha256']}`"
    license = _LICENSES.get(published.generator["name"], {})
    called = license.get("license_name") or license.get("license")
    yield "license", called or "that of the generator applies to the images"
    yield "classes", f"{len(prompts):,}"
    yield "prompts", f"{sum(len(p.texts) for p in prompts):,}"
    yield "learned by", f"vitquant {header.get('vitquant', '')}, in {header.get('dtype', '')}"


def _metrics(prompts: list[ClassPrompts]) -> Iterable[str]:
    rows = [
        (name, *_cells(PromptMetrics.mean(metrics)))
        for name, metrics in (
            ("the texts that they start from", [p.before for p in prompts]),
            ("learned", [p.after for p in prompts]),
        )
    ]
    yield table(("", "top-1 %", "confidence %", "similarity"), rows)
    yield (
        "Top-1 is the fraction of images that the float model assigns to their class, one image "
        "for each prompt; confidence the mean probability that it gives to the class; similarity "
        "the mean cosine between the features of two images of a class."
    )
    hardest = sorted(prompts, key=lambda p: (p.after.top1, p.after.confidence, p.index))
    none = sum(p.after.top1 == 0 for p in prompts)
    every = sum(p.after.top1 == 1 for p in prompts)
    yield (
        f"Of {len(prompts):,} classes, {every:,} are recognized in every image and {none:,} in "
        f"none. The hardest:"
    )
    head = ("class", "top-1 %, texts", "top-1 %, learned", "confidence %, learned")
    yield table(
        head,
        [(p.name, f"{100 * p.before.top1:.0f}", *_cells(p.after)[:2]) for p in hardest[:_HARDEST]],
    )


def _cells(metrics: PromptMetrics) -> tuple[str, str, str]:
    return (
        f"{100 * metrics.top1:.1f}",
        f"{100 * metrics.confidence:.1f}",
        f"{metrics.similarity:.3f}",
    )
