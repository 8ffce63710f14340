"""Which device to use, and what its hardware can do."""

import sys

import torch

from vitquant.core import distributed
from vitquant.core.errors import UserError


def compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What one of ``PRECISIONS`` means on a device."""
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(precision)
    if dtype is not None:
        return dtype
    return torch.bfloat16 if _multiplies_bfloat16(device) else torch.float32


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the hardware has products of bfloat16, several times as fast as float32's."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    known: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def resolve_device(name: str) -> str:
    """The torch device that ``--device`` names; auto is an accelerator if there is one.

    Each of several processes on a machine gets a GPU of its own.

    Raises:
        UserError: there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if distributed.world_size() > 1:
        return _device_of_this_process(name)
    return _checked(name)


def describe_device(device: str) -> str:
    """Where the work is done, in words."""
    if distributed.world_size() == 1:
        return device
    return f"{distributed.world_size()} processes, each on {device.partition(':')[0]}"


def _device_of_this_process(name: str) -> str:
    if name not in ("cpu", "cuda"):
        raise UserError(
            f"--device: {name!r} cannot be divided between processes; accepted: cpu, or cuda for "
            f"a GPU for each of them"
        )
    if name == "cpu":
        return name
    if not distributed.local_rank() < torch.cuda.device_count():
        raise UserError(
            f"--device: each process needs a GPU of its own, and there are "
            f"{torch.cuda.device_count()}; start as many with torchrun, or say --device cpu"
        )
    name = _checked(f"cuda:{distributed.local_rank()}")
    torch.cuda.set_device(name)
    return name


def _checked(name: str) -> str:
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(
            f"--device: {name!r} cannot be used here; accepted: cpu, auto, or a torch device such "
            f"as cuda:0 where there is one"
        ) from error
    return name


def peak_memory_bytes(device: str) -> int:
    """The most that this process has held: the allocator's with CUDA, else its main memory."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    import resource  # there is none on Windows

    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
