"""What the predictions of timed files are compared with, opened before anything is timed."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from vitquant.benchmark.cached import cached
from vitquant.benchmark.candidate import Candidate, Opened
from vitquant.benchmark.rows import Scores
from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.config.bench import BenchSettings
from vitquant.core.errors import UserError
from vitquant.core.progress import Progress
from vitquant.data.class_names import LabelSpace
from vitquant.data.image_source import ImageSource
from vitquant.data.loader import stratified_sample
from vitquant.data.open import Role, open_source
from vitquant.data.reading import Reading
from vitquant.evaluation import accuracy
from vitquant.evaluation.agreement import compare_outputs, outputs
from vitquant.models.model import Model
from vitquant.workflows.open import (
    CheckpointFile,
    HubCheckpoint,
    images_for,
    open_model,
    resolve,
)

_BATCH = 64


@dataclass
class Compared:
    """What predictions are compared with.

    model: the float one, with chosen calibration images and its outputs on them. reading: of all
    images. labeled: images of the label space. references: in PyTorch, by the checksums of their
    checkpoints.
    """

    settings: BenchSettings
    space: LabelSpace
    model: Model | None = None
    reading: Reading = field(default_factory=Reading)
    calib: ImageSource | None = None
    chosen: Sequence[int] = ()
    expected: torch.Tensor | None = None
    labeled: ImageSource | None = None
    references: dict[str, Model] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        settings: BenchSettings,
        reading: Reading,
        model: Model | None,
        candidates: Sequence[Candidate],
    ) -> "Compared":
        """Raises UserError if images or the reference cannot be used."""
        about = [c.metadata for c in candidates if c.classifies]
        spaces = [] if model is None else [model.label_space]
        spaces += [LabelSpace(m.num_classes, m.classes) for m in about]
        space = spaces[0] if spaces else LabelSpace(0, None)
        found = cls(settings, space, model, reading)
        if model is not None and settings.calib is not None:
            found._open_calib(model, settings.calib)
        if settings.data is not None:
            found._open_labeled(settings.data)
        return found

    def _open_calib(self, model: Model, source: str) -> None:
        flag, count = self.settings.naming.option("calib"), self.settings.images
        self.calib = images_for(
            model, source, flag, Role.CALIBRATION, limit=count, reading=self.reading
        )
        self.chosen = stratified_sample(self.calib, count, 0)
        if model.num_classes > 1:
            self.expected = outputs(model, self.calib, self.chosen)

    def _open_labeled(self, source: str) -> None:
        flag = self.settings.naming.option("data")
        if self.space.num_classes < 2:
            raise UserError(
                f"{flag}: nothing says which classes the files have; a file that vitquant export "
                f"wrote is accepted, or --model"
            )
        self.labeled = open_source(
            source,
            flag=flag,
            label_space=self.space,
            role=Role.EVALUATION,
            ignore_unknown=self.settings.ignore_unknown,
            reading=self.reading,
        )
        for name in filter(None, (self.settings.reference or "").split(",")):
            self._open_reference(name)

    def _open_reference(self, name: str) -> None:
        named, content = resolve(name), ""
        if isinstance(named, CheckpointFile | HubCheckpoint):
            checkpoint = read_checkpoint(named.path)
            content, reference = checkpoint.header.content_sha256, restore(checkpoint)
        else:
            reference = open_model(named)
        if reference.num_classes != self.space.num_classes:
            raise UserError(
                f"--reference: {name} has {reference.num_classes} classes, the files "
                f"{self.space.num_classes}; a model of the same classes is accepted"
            )
        self.references[content] = cached(reference)

    def _reference(self, candidate: Candidate) -> Model | None:
        """The only one, or of several the checkpoint that a file was exported from."""
        if len(self.references) == 1:
            return next(iter(self.references.values()))
        return self.references.get(candidate.metadata.settings.get("checkpoint_sha256", ""))

    def scores(self, one: Opened, progress: Progress) -> Scores:
        """Of a file in a runtime; none of a file whose classes are others, or not known."""
        space = LabelSpace(one.candidate.metadata.num_classes, one.candidate.metadata.classes)
        if not one.candidate.classifies or space.num_classes != self.space.num_classes:
            return Scores()
        as_float = top1 = same = None
        if self.calib is not None and self.expected is not None:
            own = outputs(one.model, self.calib, self.chosen)
            as_float = compare_outputs(self.expected, own, space.num_classes).agreement
        if self.labeled is not None:
            progress.say(f"top-1 of {one.candidate.name} in {one.label}")
            scored = accuracy.evaluate(
                one.model, self.labeled, _BATCH, self._reference(one.candidate), progress
            )
            top1, same = scored.accuracy.top1, scored.agreement
        return Scores(as_float, top1, same)
