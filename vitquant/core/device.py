"""What the hardware of a device can do."""

import torch


def compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What one of ``PRECISIONS`` means on a device."""
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(precision)
    if dtype is not None:
        return dtype
    return torch.bfloat16 if _multiplies_bfloat16(device) else torch.float32


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the hardware has matmuls of bfloat16, several times as fast as float32's."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    known: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
