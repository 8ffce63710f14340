"""In which precision a training step multiplies, and whether its quantizers are compiled."""

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from vitquant.config.quantize import QuantizeSettings
from vitquant.core.device import compute_dtype
from vitquant.core.errors import UserError
from vitquant.core.progress import Progress
from vitquant.quantization.quantizers import compiled as kernels

# Parameters times images trained on. Compiling takes about half a minute, as long as training does
# below this on two cores; a fixed number, because a clock would make results differ between runs.
_WORTH_COMPILING = 2e10


@dataclass(frozen=True)
class StepPrecision:
    """dtype: of the matrix products; everything that accumulates stays float32."""

    device: torch.device
    dtype: torch.dtype
    compiled: bool

    def compiled_quantizers(self) -> AbstractContextManager[None]:
        """To be entered around forward and backward passes."""
        return kernels.use_compiled(self.compiled)

    def autocast(self) -> AbstractContextManager[None]:
        """To be entered around forward passes alone, as torch.autocast asks."""
        low = self.dtype != torch.float32
        return torch.autocast(self.device.type, self.dtype, enabled=low)

    def __str__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{dtype}, compiled quantizers" if self.compiled else dtype


def choose_precision(
    settings: QuantizeSettings,
    device: torch.device,
    progress: Progress,
    parameters: float = math.inf,
) -> StepPrecision:
    """What the settings ask for, or what this machine does fastest where they leave it open.

    parameters: how many the model has; small ones are trained before a compiler is done.

    Raises:
        UserError: quantizers must be compiled and cannot be.
    """
    dtype = compute_dtype(settings.precision, device)
    compiled = settings.compile
    if compiled is None and parameters * settings.steps * settings.batch_size < _WORTH_COMPILING:
        compiled = False
    if compiled is not False:
        reason = kernels.unavailable_reason(device.type)
        if reason and compiled:
            raise UserError(f"--compile: not possible here ({reason}); --no-compile is accepted")
        if reason:
            progress.say(f"quantizers are not compiled here, steps are slower ({reason})")
        compiled = not reason
    return StepPrecision(device, dtype, compiled)
