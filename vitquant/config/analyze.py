"""Every setting of an analysis."""

from collections.abc import Mapping
from typing import Any, Self

from vitquant.config.bits import Bits, parse_bits
from vitquant.config.declare import setting
from vitquant.config.quantize import CalibrationImages, QuantizeSettings
from vitquant.config.setting import Settings
from vitquant.config.targets import DEFAULT_TARGET, TARGETS
from vitquant.config.values import AT_LEAST_1, SEED, Patterns
from vitquant.core.errors import UserError


class BitsList(tuple[Bits, ...]):
    """Several widths, in text with commas between."""

    __slots__ = ()

    def __str__(self) -> str:
        return ",".join(map(str, self))

    @classmethod
    def parse(cls, value: Any, label: str) -> Self:
        """Of text such as ``w2a8,w4a8``, or of a list of such.

        Raises:
            UserError: one is no width, or there twice.
        """
        texts = [value] if isinstance(value, str | Bits) else list(value)
        parts = [part for text in texts for part in str(text).split(",")]
        found = [parse_bits(part, label) for part in parts]
        for bits in found:
            if found.count(bits) > 1:
                raise UserError(f"{label}: {bits} is there twice; once is accepted")
        return cls(found)


class AnalyzeBasics(Settings):
    """Options"""

    bits: BitsList = setting(
        None,
        "Widths to compare, with commas, such as w2a8,w4a8,w8a8.",
        metavar="W2A8,W4A8",
        required=True,
    )
    calib: str = setting(
        "synthetic",
        "Images to measure on, without labels: what quantize --calib takes.",
        metavar="SOURCE",
    )
    sensitivity_images: int = setting(32, "Images that losses are measured on.", AT_LEAST_1)
    spared: bool = setting(
        True, "Also measure everything at a width but one part, which takes twice the time."
    )
    layer_times: bool = setting(
        True, "Also time the exported ONNX file and say which share of it each layer takes."
    )
    target: str = setting(
        DEFAULT_TARGET,
        "What the exported file is to be fast on, which decides how activations are quantized.",
        metavar="NAME",
        choices=tuple(TARGETS),
    )
    keep_float: Patterns | None = setting(
        None,
        "Leave layers and matmuls out whose name, or that of a module around them, is PATTERN.",
        metavar="PATTERN",
    )
    seed: int = setting(0, "Seed of everything random.", SEED)


class AnalyzeSettings(CalibrationImages, AnalyzeBasics):
    """How a model is analyzed."""

    @property
    def quantization(self) -> QuantizeSettings:
        """Of ``rtn`` at the first width, with the same images."""
        return self._at(self.bits[0])

    def check(self, labels: Mapping[str, str]) -> None:
        for bits in self.bits:
            self._at(bits)

    def _at(self, bits: Bits) -> QuantizeSettings:
        names = set(QuantizeSettings.fields()) - {"sensitivity_images"}
        common = {name: value for name, value in self.chosen.items() if name in names}
        return QuantizeSettings.build(
            naming=self.naming, **common | {"bits": bits, "method": "rtn"}
        )
