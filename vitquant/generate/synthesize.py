"""Draw a folder of images, the classes shared out between the processes."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import vitquant
from vitquant.core import distributed
from vitquant.core.errors import UserError
from vitquant.core.progress import Progress
from vitquant.generate.classifier import Classifier
from vitquant.generate.contact_sheet import write_sheet
from vitquant.generate.drawing import draw
from vitquant.generate.duration import Stopwatch
from vitquant.generate.generator import Generator
from vitquant.generate.image_folder import (
    Images,
    class_folder,
    finish,
    keep,
    kept,
    made_before,
    read_index,
    read_run,
    sheet_of,
)
from vitquant.generate.modes import Modes
from vitquant.generate.names import Subject
from vitquant.generate.parts import Parts
from vitquant.models.model import Model


@dataclass(frozen=True)
class DrawSettings:
    """How many images are drawn, and which are kept.

    Args:
        samples: images at most, spread evenly over the classes; one for each class at least.
        seed: of the noise.
        batch_size: images drawn at once.
        min_confidence: an image to whose class the float model gives less is rejected.
        attempts: how often an image is drawn at most.
    """

    samples: int = 1024
    seed: int = 0
    batch_size: int = 20
    min_confidence: float = 0.0
    attempts: int = 4

    def __post_init__(self) -> None:
        for name in ("samples", "batch_size", "attempts"):
            if getattr(self, name) < 1:
                flag = "--" + name.replace("_", "-")
                raise UserError(f"{flag}: {getattr(self, name)} is too few; 1 or more")
        if not 0 <= self.min_confidence < 1:
            raise UserError(
                f"--min-confidence: {self.min_confidence} is not from 0 up to, but without, 1"
            )


@dataclass(frozen=True)
class Synthesis:
    """What is drawn, by what."""

    model: Model
    generator: Generator
    subjects: list[Subject]
    modes: Modes
    settings: DrawSettings

    @property
    def per_class(self) -> int:
        return max(1, self.settings.samples // len(self.subjects))

    def run(self) -> dict[str, Any]:
        """What the images depend on, for the folder and to tell runs apart."""
        return {
            "vitquant": vitquant.__version__,
            "generator": self.generator.identity.to_json(),
            "dtype": str(self.generator.dtype).removeprefix("torch."),
            "model": self.model.identity.to_json(),
            "modes": self.modes.to_json(),
            "settings": asdict(self.settings),
            "classes": [[s.index, s.phrase] for s in self.subjects],
        }

    def groups(self) -> list[list[Subject]]:
        """Classes that are drawn side by side: as many as fill a batch."""
        size = max(1, self.settings.batch_size // self.per_class)
        return [self.subjects[i : i + size] for i in range(0, len(self.subjects), size)]


def synthesize(
    synthesis: Synthesis,
    path: Path,
    progress: Progress,
    tell: Callable[[float], None] = lambda seconds: None,
) -> Images:
    """Draw the images that are missing, and write folder and contact sheet.

    A run that was interrupted goes on with the classes that are missing. A folder that is there
    already, made with the same settings, is left as it is. ``tell`` hears after a minute or so how
    many seconds the run takes, and may raise.

    Raises:
        UserError: there is something else at ``path``, or it cannot be written.
    """
    run = synthesis.run()
    before = made_before(path, run, progress)
    if before is not None:
        return before
    parts = Parts.beside(path)
    parts.begin(run, progress)
    missing = [g for g in synthesis.groups() if any(kept(parts, s.index) is None for s in g)]
    _draw(synthesis, parts.deal(missing), parts, progress, tell)
    distributed.barrier()
    if distributed.is_main():
        pieces = [kept(parts, s.index) for s in synthesis.subjects]
        rejected = sum(piece[0] for piece in pieces if piece)
        rows = [row for piece in pieces if piece for row in piece[1]]
        _check_accepted(synthesis, rows, rejected, parts, progress)
        finish(parts, path, {"run": run, "rejected": rejected}, rows)
        write_sheet(sheet_of(path), path, rows)
    distributed.barrier()
    return Images(path, sheet_of(path), read_index(path), (read_run(path) or {}).get("rejected", 0))


def _check_accepted(
    synthesis: Synthesis,
    rows: list[dict[str, Any]],
    rejected: int,
    parts: Parts,
    progress: Progress,
) -> None:
    """Tell of classes that the filter left short; raises UserError where it left nothing."""
    counts = Counter(row["class"] for row in rows)
    if not counts:
        parts.remove()
        raise UserError(
            f"--min-confidence: {synthesis.settings.min_confidence:g}: no image of {rejected} "
            f"passed; a lower one is accepted"
        )
    short = [s for s in synthesis.subjects if counts[s.index] < synthesis.per_class]
    if short:
        named = ", ".join(f"{s.phrase} {counts[s.index]}" for s in short[:5])
        progress.warn(
            f"{len(short)} classes have fewer than {synthesis.per_class} images after the filter: "
            f"{named}{', …' if len(short) > 5 else ''}"
        )


def _draw(
    synthesis: Synthesis,
    groups: Sequence[list[Subject]],
    parts: Parts,
    progress: Progress,
    tell: Callable[[float], None],
) -> None:
    settings = synthesis.settings
    classifier = Classifier(synthesis.model, synthesis.generator.device)
    folder = partial(class_folder, classes=synthesis.model.classes)
    watch = Stopwatch(len(groups), tell)
    for group in _tracked(groups, progress):
        for drawn in draw(
            synthesis.generator,
            classifier,
            synthesis.modes,
            group,
            synthesis.per_class,
            seed=settings.seed,
            batch_size=settings.batch_size,
            min_confidence=settings.min_confidence,
            attempts=settings.attempts if settings.min_confidence else 1,
        ):
            keep(parts, drawn.subject.index, drawn.drawings, folder, drawn.rejected)
        watch.tick()


def _tracked(groups: Sequence[list[Subject]], progress: Progress) -> Iterator[list[Subject]]:
    if groups:
        yield from progress.track(groups, len(groups), "drawing images")
