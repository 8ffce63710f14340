"""In which precision a training step multiplies, and whether its quantizers are compiled."""

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from vitquant.errors import UserError
from vitquant.methods.settings import Settings
from vitquant.progress import Progress
from vitquant.quantizers import fused

# Parameters times images trained on. Compiling takes about half a minute, as long as training does
# below this on two cores; a fixed number, because a clock would make results differ between runs.
_WORTH_COMPILING = 2e10


@dataclass(frozen=True)
class Arithmetic:
    """dtype: of the matrix products; everything that accumulates stays float32."""

    device: torch.device
    dtype: torch.dtype
    compiled: bool

    def quantizers(self) -> AbstractContextManager[None]:
        """To be entered around forward and backward passes."""
        return fused.fused(self.compiled)

    def products(self) -> AbstractContextManager[None]:
        """To be entered around forward passes alone, as torch.autocast asks."""
        low = self.dtype != torch.float32
        return torch.autocast(self.device.type, self.dtype, enabled=low)

    def __str__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{dtype}, compiled quantizers" if self.compiled else dtype


def choose(
    settings: Settings, device: torch.device, progress: Progress, parameters: float = math.inf
) -> Arithmetic:
    """What the settings ask for, or what this machine does fastest where they leave it open.

    parameters: how many the model has; small ones are trained before a compiler is done.

    Raises:
        UserError: quantizers must be compiled and cannot be.
    """
    dtype = product_dtype(settings.precision, device)
    compiled = settings.compile
    if compiled is None and parameters * settings.steps * settings.batch_size < _WORTH_COMPILING:
        compiled = False
    if compiled is not False:
        reason = fused.why_not(device.type)
        if reason and compiled:
            raise UserError(f"--compile: not possible here ({reason}); --no-compile is accepted")
        if reason:
            progress.say(f"quantizers are not compiled here, steps are slower ({reason})")
        compiled = not reason
    return Arithmetic(device, dtype, compiled)


def product_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What one of ``PRECISIONS`` means on a device."""
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(precision)
    if dtype is not None:
        return dtype
    return torch.bfloat16 if _multiplies_bfloat16(device) else torch.float32


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the hardware has products of bfloat16, several times as fast as float32's."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    known = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
