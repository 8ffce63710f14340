"""Where a collapsed model loses what its float model knows: a block, and a tensor in it."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vitquant.core.progress import Progress
from vitquant.evaluation.agreement import MOST_ERROR, Fidelity, compare_outputs
from vitquant.quantization.quantizers.affine import fake_quantize_forward
from vitquant.quantization.training.features import (
    FeatureExtractor,
    Outputs,
    TeacherForcing,
    capture_features,
)
from vitquant.reports.measurements.subject import Subject
from vitquant.reports.measurements.tensors.block_errors import relative_error
from vitquant.reports.measurements.tensors.exact import exact
from vitquant.reports.measurements.tensors.taps import Entered, tapped
from vitquant.reports.sections.errors import Collapse, TensorError

WEIGHT = "weight"


@torch.inference_mode()
def find_collapse(
    subject: Subject, batch: Tensor, found: Fidelity, progress: Progress
) -> Collapse | None:
    """Find where a collapsed model loses its float model's outputs, on a batch (B, ...).

    A block is lost if the float blocks behind it, fed what the quantized ones have computed up to
    it, no longer give the float model's outputs, by the criterion for the whole model. In it, the
    tensor is sought whose rounding changes most what its layer or matmul puts out.

    found: the figures by which the model has collapsed. None without a reference in its basis.
    """
    if subject.reference is None or not subject.same_basis:
        return None
    progress.say("the model has collapsed: looking for the block and the tensor")
    with ExitStack() as stack:
        run, run_float = (
            stack.enter_context(capture_features(m.module, subject.blocks, m.adapter.forward))
            for m in (subject.model, subject.reference)
        )
        search = _Search(subject, batch, found, run, run_float)
        lost = search.first_lost_block(progress)
        tensors = search.tensor_errors()
        tensor = _worst(tensors, subject.blocks, lost)
        how = search.explained(lost, tensor)
    classifies = found.agreement is not None
    value = found.agreement if classifies else found.relative_error
    return Collapse(
        measure="agreement" if classifies else "relative_error",
        value=float("nan") if value is None else value,
        limit=found.floor if classifies else MOST_ERROR,
        images=found.images,
        block=None if lost is None else subject.blocks[lost],
        tensor=tensor,
        tensors=tuple(tensors),
        how=how,
    )


@dataclass(frozen=True)
class _Only:
    """Feeds ``feature`` to what follows one block, and leaves the others alone."""

    block: int
    feature: Tensor

    def mix(self, block: int, feature: Tensor) -> Tensor:
        return self.feature if block == self.block else feature


@dataclass
class _Search:
    """run, run_float: the quantized network and the float one. kept: how much of the float model's
    outputs is left behind each block that was looked at."""

    subject: Subject
    batch: Tensor
    found: Fidelity
    run: FeatureExtractor
    run_float: FeatureExtractor
    kept: list[Fidelity] = field(default_factory=list)
    largest: dict[tuple[str, str], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.expected: Outputs = self.run_float(self.batch)

    def first_lost_block(self, progress: Progress) -> int | None:
        """Its number; None where the float layers behind the last block still read it."""
        features = self.run(self.batch).features
        for block in progress.track(range(len(features)), len(features), "blocks"):
            self.kept.append(self._behind(block, features[block]))
            if self.kept[-1].collapsed:
                return block
        return None

    def _behind(self, block: int, feature: Tensor) -> Fidelity:
        """What the float model makes of a feature in place of its own."""
        outputs = self.run_float(self.batch, _Only(block, feature)).logits
        return self._fidelity(outputs)

    def _fidelity(self, outputs: Tensor) -> Fidelity:
        expected, classes = self.expected.logits, self.subject.model.num_classes
        both = compare_outputs(expected, outputs, classes)
        error = None if classes > 1 else both.difference
        return Fidelity(len(outputs), both.agreement, None, self.found.floor, error)

    def tensor_errors(self) -> list[TensorError]:
        """In the order of execution, where each block is fed the float model's features."""
        errors: list[TensorError] = []
        weights = {record.name: record.sqnr_db for record in self.subject.header.layers}

        def listen(entered: Entered) -> None:
            name, block = entered.name, self.subject.block_of(entered.name)
            difference = fake_quantize_forward(entered.x, entered.q) - entered.x
            squares = (entered.compute(x).square().sum() for x in (difference, entered.x))
            error = relative_error(*map(float, squares))
            errors.append(TensorError(name, block, entered.tensor, error))
            self.largest[name, entered.tensor] = float(entered.x.abs().max())
            if name in weights:
                errors.append(TensorError(name, block, WEIGHT, _noise(weights.pop(name))))

        with tapped(self.subject.model.module, listen):
            self.run(self.batch, TeacherForcing(self.expected.features, 1.0))
        order = {record.name: i for i, record in enumerate(self.subject.header.layers)}
        for name, decibels in weights.items():  # of layers whose input stays float
            behind = (i for i, e in enumerate(errors) if order.get(e.name, -1) > order[name])
            error = TensorError(name, self.subject.block_of(name), WEIGHT, _noise(decibels))
            errors.insert(next(behind, len(errors)), error)
        return errors

    def explained(self, lost: int | None, tensor: TensorError | None) -> str:
        """How block and tensor were decided on."""
        blocks, images = self.subject.blocks, len(self.batch)
        where, words = "behind the blocks" if blocks else "in the network", []
        if lost is not None:
            where = f"in {blocks[lost]}"
            behind = f"Behind {blocks[lost]}, {_score(self.kept[-1])}"
            if lost:
                behind += f"; behind {blocks[lost - 1]}, {_score(self.kept[-2])}"
            words.append(
                f"On {images} images, the float model was given what the quantized one computes up "
                f"to a block. {behind}. {blocks[lost]} is the first beyond the limit."
            )
        elif blocks:
            words.append(
                f"On {images} images, the float layers behind the last block, given what the "
                f"quantized ones compute up to it, stay within the limit."
            )
        if tensor is None:
            return " ".join(words)
        words.append(
            f"Of the tensors {where}, rounding the {tensor.tensor} of {tensor.name} changes the "
            f"output of its own layer or matmul most: by {tensor.relative_error:.0%} of its size "
            f"(of a weight, the change of the weight itself is taken)."
        )
        if tensor.tensor != WEIGHT:
            words.append(f"Without rounding it, {_score(self._without(lost, tensor))}.")
        return " ".join(words)

    def _without(self, lost: int | None, tensor: TensorError) -> Fidelity:
        """What is left where one tensor is not rounded."""
        key = tensor.name, tensor.tensor
        with exact(self.subject.model.module, *key, self.largest[key]):
            outputs = self.run(self.batch)
        if lost is None:
            return self._fidelity(outputs.logits)
        return self._behind(lost, outputs.features[lost])


def _worst(
    tensors: Sequence[TensorError], blocks: Sequence[str], lost: int | None
) -> TensorError | None:
    """The one with the largest error in the lost block; where none is, behind all blocks."""
    if lost is not None:
        candidates = [t for t in tensors if t.block == blocks[lost]]
    else:
        last = max((i for i, t in enumerate(tensors) if t.block), default=-1)
        candidates = list(tensors[last + 1 :])
    return max(candidates, key=lambda tensor: tensor.relative_error, default=None)


def _noise(sqnr_db: float) -> float:
    return float(10 ** (-sqnr_db / 20))


def _score(found: Fidelity) -> str:
    if found.agreement is not None:
        return f"{found.agreement:.0%} of its predictions are left"
    return f"its outputs have a relative error of {found.relative_error:.2f}"
