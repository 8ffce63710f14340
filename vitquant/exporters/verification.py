"""What the verification of an exported file found, and whether that is good enough."""

from dataclasses import dataclass, field
from typing import Any

from vitquant.core.errors import CheckFailedError
from vitquant.evaluation.agreement import OutputAgreement
from vitquant.evaluation.output_error import finite_or_none

# As for agreement: how far the outputs may lie apart, relative to the model's own.
_FURTHER, _AND = 2.0, 0.05
_INFINITE = float("inf")


@dataclass(frozen=True)
class Run:
    """A model in a runtime.

    Attributes:
        model: ``"float"``, ``"quantized"`` or ``"exported"``.
        runtime: the name of the runtime.
        bytes: size of its file.
        milliseconds: for one image alone, the median of a few runs.
        outputs: compared with the quantized model in PyTorch; None where they were not.
        in_float: names of the nodes that run in float and are to run on integer kernels.
    """

    model: str
    runtime: str
    bytes: int
    milliseconds: float
    outputs: OutputAgreement | None = None
    in_float: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Model and runtime, in words."""
        return f"{self.model}, {self.runtime}"


@dataclass(frozen=True)
class Verification:
    """How an ONNX file compares with the model that it was made from.

    Attributes:
        images: how many images the models were compared on.
        source: where the images are from.
        expected: names of the nodes that are to run on integer kernels.
        compared: the float and the quantized model in PyTorch.
        self_agreement: of the quantized model with itself under accumulation noise.
        exported: the file in each installed runtime, the default one first.
        min_agreement: the least agreement that is accepted, a fraction.
        notes: lines for people.
        broken_rules: the documented rules of the target that the file breaks; None where the
            target's runtime is at hand. Such a file need not run on integer kernels here.
    """

    images: int
    source: str
    expected: list[str]
    compared: list[Run]
    self_agreement: OutputAgreement
    exported: list[Run]
    min_agreement: float
    notes: list[str]
    broken_rules: list[str] | None = None

    @property
    def agreement(self) -> float | None:
        """Of the file in the default runtime, a fraction; None without a classifier."""
        outputs = self.exported[0].outputs
        return None if outputs is None else outputs.agreement

    @property
    def max_difference(self) -> float:
        """How far the outputs may lie apart, relative to their spread."""
        return _FURTHER * self.self_agreement.difference + _AND

    @property
    def in_float(self) -> list[str]:
        """Names of the nodes that have fallen back in the default runtime."""
        return self.exported[0].in_float

    def to_json(self) -> dict[str, Any]:
        """What ``vitquant export --json`` prints of it."""
        return {
            "integer_kernels": len(self.expected) - len(self.in_float),
            "expected_integer_kernels": len(self.expected),
            "agreement": self.agreement,
            "min_agreement": self.min_agreement,
            "images": self.images,
            "data": self.source,
            "self_agreement": self.self_agreement.agreement,
            "runs": [
                {
                    "name": run.name,
                    "bytes": run.bytes,
                    "milliseconds": round(run.milliseconds, 3),
                    "agreement": run.outputs and run.outputs.agreement,
                    "difference": run.outputs and finite_or_none(run.outputs.difference),
                }
                for run in (*self.compared, *self.exported)
            ],
            "broken_rules": self.broken_rules,
            "notes": self.notes,
        }

    def check(self) -> None:
        """Raises CheckFailedError if the file is not what it should be."""
        if self.broken_rules:
            raise CheckFailedError(f"rules of the target: {_some(self.broken_rules, '; ')}")
        if self.self_agreement.difference == _INFINITE:
            raise CheckFailedError(
                "outputs: some of the quantized model in PyTorch are NaN or infinite; there is "
                "nothing to compare the file with"
            )
        for run in self.exported:
            self._check(run)

    def _check(self, run: Run) -> None:
        if run.in_float and self.broken_rules is None:
            raise CheckFailedError(
                f"integer kernels: {len(run.in_float)} of {len(self.expected)} matmuls run in "
                f"float in {run.runtime}: {_some(run.in_float)}"
            )
        if run.outputs is None:
            return
        agreement, difference = run.outputs.agreement, run.outputs.difference
        if difference == _INFINITE:
            raise CheckFailedError(f"outputs: some of {run.name} are NaN or infinite")
        if agreement is not None and agreement < self.min_agreement:
            raise CheckFailedError(
                f"--min-agreement: {run.name} agrees with the quantized model on "
                f"{agreement:.1%} of {self.images} images, below {self.min_agreement:.1%}"
            )
        if difference > self.max_difference:
            raise CheckFailedError(
                f"outputs: {run.name} differs from the quantized model by {difference:.3f} of "
                f"the outputs' spread, more than {self.max_difference:.3f}"
            )


def _some(found: list[str], between: str = ", ") -> str:
    return between.join([*found[:3], *(["…"] if len(found) > 3 else [])])
