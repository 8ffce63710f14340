"""Draw a folder of images, the classes shared out between the processes."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import vitquant
from vitquant import parallel
from vitquant.core.duration import Stopwatch
from vitquant.core.partial_results import Parts
from vitquant.errors import UserError
from vitquant.models.model import Model
from vitquant.progress import Progress
from vitquant.synthesis.contact_sheet import write_sheet
from vitquant.synthesis.diffusion.generator import Generator
from vitquant.synthesis.diffusion.prompt_sets import Modes
from vitquant.synthesis.diffusion.sample import draw
from vitquant.synthesis.image_folder import (
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
from vitquant.synthesis.quality import Classifier
from vitquant.synthesis.settings import DrawSettings
from vitquant.synthesis.target_classes import Subject


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
    parallel.wait()
    if parallel.is_main():
        pieces = [kept(parts, s.index) for s in synthesis.subjects]
        rejected = sum(piece[0] for piece in pieces if piece)
        rows = [row for piece in pieces if piece for row in piece[1]]
        _check_accepted(synthesis, rows, rejected, parts, progress)
        finish(parts, path, {"run": run, "rejected": rejected}, rows)
        write_sheet(sheet_of(path), path, rows)
    parallel.wait()
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
