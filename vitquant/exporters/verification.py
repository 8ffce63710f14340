"""What a verification found, and what is demanded of it."""

from collections import Counter
from dataclasses import dataclass

from vitquant.errors import CheckFailedError
from vitquant.evaluation.outputs import Likeness

MARGIN = 0.25
"""By how much less a file may agree with the PyTorch model than that one, rounded differently,
agrees with itself. Of 32 images, half of it is chance."""

# As for agreement: how far the outputs may lie apart, relative to the twin's.
_FURTHER, _AND = 2.0, 0.05


@dataclass(frozen=True)
class Run:
    """A model in a runtime. milliseconds: of one image alone, the median of a few. likeness: to the
    quantized model in PyTorch, where both were run."""

    name: str
    bytes: int
    milliseconds: float
    likeness: Likeness | None = None


@dataclass(frozen=True)
class Verification:
    """What was found.

    images, source: how many images, and of what, the models were compared on.
    expected, integer: names of the nodes that are to run, and that run, on integer kernels.
    compared: the float and the quantized model in PyTorch.
    twin: the likeness of the quantized model to itself, rounded differently.
    exported: the file in each runtime, ONNX Runtime first.
    bound: the least agreement of those.
    remarks: what else a user should know.
    """

    images: int
    source: str
    expected: list[str]
    integer: list[str]
    compared: list[Run]
    twin: Likeness
    exported: list[Run]
    bound: float
    remarks: list[str]

    @property
    def agreement(self) -> float | None:
        """In ONNX Runtime; None for a model without a classifier."""
        assert self.exported[0].likeness is not None
        return self.exported[0].likeness.agreement

    @property
    def in_float(self) -> list[str]:
        """Names of the nodes that have fallen back."""
        return list((Counter(self.expected) - Counter(self.integer)).elements())

    def check(self) -> None:
        """Raises CheckFailedError if the file is not what it should be."""
        if self.in_float:
            some = ", ".join(self.in_float[:3]) + (", …" if len(self.in_float) > 3 else "")
            raise CheckFailedError(
                f"integer kernels: {len(self.in_float)} of {len(self.expected)} products run in "
                f"float in ONNX Runtime: {some}"
            )
        furthest = _FURTHER * self.twin.difference + _AND
        for run in self.exported:
            assert run.likeness is not None
            agreement, difference = run.likeness.agreement, run.likeness.difference
            if agreement is not None and agreement < self.bound:
                raise CheckFailedError(
                    f"--min-agreement: {run.name} agrees with the quantized model on "
                    f"{agreement:.1%} of {self.images} images, below {self.bound:.1%}"
                )
            if difference > furthest:
                raise CheckFailedError(
                    f"outputs: {run.name} differs from the quantized model by {difference:.3f} of "
                    f"the outputs' spread, more than {furthest:.3f}"
                )
