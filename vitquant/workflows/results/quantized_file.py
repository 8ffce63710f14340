"""A checkpoint that was written, and what is told of the run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitquant.config.quantize import QuantizeSettings
from vitquant.core import distributed
from vitquant.core.device import peak_memory_bytes
from vitquant.evaluation.output_error import finite_or_none
from vitquant.quantization.methods.base import get_method
from vitquant.workflows.ptq import Quantized


@dataclass(frozen=True)
class QuantizedFile:
    """A checkpoint that was written, and how. bytes: its size. device: where it was made."""

    path: Path
    bytes: int
    quantized: Quantized
    settings: QuantizeSettings
    device: str

    def to_json(self) -> dict[str, Any]:
        """What ``vitquant quantize --json`` prints."""
        run, settings = self.quantized, self.settings
        return {
            "output": str(self.path),
            "model": run.model.identity.name,
            "float_model": run.header.model,
            "bits": run.header.bits,
            "method": settings.method,
            "calib": run.header.settings["calib"],
            "samples": run.samples,
            "agreement": run.fidelity.agreement,
            "cosine": run.fidelity.cosine,
            "relative_error": finite_or_none(run.fidelity.relative_error),
            "not_finite": run.fidelity.not_finite,
            "steps": settings.steps if get_method(settings.method).is_trained else 0,
            "seed": settings.seed,
            "seconds": round(run.seconds, 3),
            "processes": distributed.world_size(),
            "peak_memory_bytes": peak_memory_bytes(self.device),
            "bytes": self.bytes,
            "float_bytes": run.model.identity.float_bytes,
            "settings": run.header.settings,
            "versions": run.header.versions,
            "float_parts": run.header.unreached,
            "history": run.history,
        }
