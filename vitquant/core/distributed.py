"""Several processes on one run, as torchrun starts them. In a single process nothing happens here.

The processes do the same, each on its own share of the images, and what they computed is put
together in the order of the images. ``init`` connects them; without it a process is alone, also
one that another program has connected to others.

A function that says so is a collective: all processes have to call it, in the same order.
"""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from vitquant.core.errors import PeerLostError

_LOST = "another process has ended, or cannot be reached; --debug shows the exchange that failed"

# There while ``init`` has connected processes.
_store: dist.Store | None = None


def is_torchrun() -> bool:
    """Whether torchrun started this process beside others."""
    return dist.is_available() and dist.is_torchelastic_launched() and _number("WORLD_SIZE", 1) > 1


def is_main() -> bool:
    """Whether this process is the one that prints and writes; known before ``init`` too."""
    return not is_torchrun() or _number("RANK", 0) == 0


def rank() -> int:
    return 0 if _store is None else dist.get_rank()


def world_size() -> int:
    """How many processes there are."""
    return 1 if _store is None else dist.get_world_size()


def local_rank() -> int:
    """This process's number on its machine."""
    return _number("LOCAL_RANK", 0) if world_size() > 1 else 0


def init() -> None:
    """Connect the processes that torchrun started: gloo for tensors on a CPU, NCCL on GPUs.

    Raises:
        PeerLostError: they do not find each other.
    """
    global _store
    if not is_torchrun() or _store is not None:
        return
    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    try:
        store, number, count = next(iter(dist.rendezvous("env://")))
        # A torchrun that starts its processes again keeps what the first ones left in the store.
        store = dist.PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if gpus else "gloo",
            store=dist.PrefixStore("group", store),
            rank=number,
            world_size=count,
        )
    except RuntimeError as error:
        raise PeerLostError(_LOST) from error
    _store = store


def destroy() -> None:
    """Disconnect. Not for a process that has failed: others may never get here."""
    global _store
    if _store is not None:
        dist.destroy_process_group()
    _store = None


def rank_slice(count: int, unit: int = 1) -> range:
    """Which of ``count`` items are this process's: contiguous, and shared out as evenly as can be.

    unit: items that stay together, such as those of a batch.
    """
    units = -(-count // unit)
    start, stop = (units * r // world_size() for r in (rank(), rank() + 1))
    return range(min(count, start * unit), min(count, stop * unit))


def all_reduce(tensors: Sequence[Tensor]) -> None:
    """Add up each tensor over the processes, in place, all in one exchange. A collective.

    They must be on one device; the first one's type is the one in which they are added.
    """
    if world_size() == 1 or not tensors:
        return
    flat = _joined(tensors, tensors[0].dtype)
    _exchange(dist.all_reduce, flat)
    _write_back(flat, tensors)


def _joined(tensors: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1).to(dtype) for tensor in tensors])


@torch.no_grad()
def _write_back(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view(tensor.shape))


def all_reduce_scalars(values: Iterable[float]) -> list[float]:
    """Each number added up over the processes. A collective."""
    summed = torch.tensor(list(values), dtype=torch.float64)
    all_reduce([summed])
    return summed.tolist()


def all_reduce_max(values: Tensor) -> Tensor:
    """The greatest of each element among the processes. A collective."""
    if world_size() > 1:
        values = values.clone()
        _exchange(dist.all_reduce, values, op=dist.ReduceOp.MAX)
    return values


def all_gather(rows: Tensor) -> Tensor:
    """The tensors (N, ...) of all processes behind one another; N may differ between them.

    A collective.
    """
    if world_size() == 1:
        return rows
    own = [len(rows) if i == rank() else 0 for i in range(world_size())]
    lengths = [int(n) for n in all_reduce_scalars(own)]
    padded = rows.new_zeros(max(lengths), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in lengths]
    _exchange(dist.all_gather, parts, padded)
    return torch.cat([part[:n] for part, n in zip(parts, lengths, strict=True)])


def broadcast(tensors: Sequence[Tensor]) -> None:
    """Overwrite each tensor with the main process's, in one exchange for each type. A collective.

    They must be on one device.
    """
    if world_size() == 1:
        return
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        own = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = _joined(own, dtype)
        _exchange(dist.broadcast, flat, src=0)
        _write_back(flat, own)


def broadcast_object(value: Any) -> Any:
    """What the main process passes, a JSON value, whatever the others pass. A collective."""
    if world_size() == 1:
        return value
    text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
    length = torch.tensor(len(text))
    broadcast([length])
    text = text if rank() == 0 else torch.empty(int(length), dtype=torch.uint8)
    broadcast([text])
    return json.loads(text.numpy().tobytes())


def barrier() -> None:
    """Wait until all processes have got here. A collective."""
    all_reduce_scalars([0.0])


def claim(what: str) -> bool:
    """Whether no other process has said so before; does not wait for any."""
    if _store is None:
        return True
    try:
        return _store.add(f"first/{what}", 1) == 1
    except RuntimeError:  # the store has gone, and with it the process that was first
        return False


def signal(what: str) -> None:
    """Release the processes that wait for it."""
    if _store is not None:
        _store.set(f"done/{what}", "")


def wait_for(what: str, seconds: float) -> None:
    """Until some process has signalled it, or for so many seconds."""
    if _store is None:
        return
    try:
        _store.wait([f"done/{what}"], timedelta(seconds=seconds))
    except RuntimeError:  # nobody was, in time
        return


def _exchange(collective: Any, *args: Any, **kwargs: Any) -> None:
    try:
        collective(*args, **kwargs)
    except RuntimeError as error:
        raise PeerLostError(_LOST) from error


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isdigit() else default


class Task(NamedTuple):
    """run: finds values and sets ``results`` to them, in place."""

    run: Callable[[], None]
    results: list[Tensor]


@torch.no_grad()
def run_sharded(
    tasks: Sequence[Task], track: Callable[[Sequence[Task]], Iterable[Task]] = iter
) -> None:
    """Run each task in one of the processes and give the results to all; none may need another's.

    In a single process, they all run here. A collective. track: hands them on and shows how far
    along they are.
    """
    for i, task in enumerate(track(tasks)):
        if i % world_size() == rank():
            task.run()
        else:
            for result in task.results:
                result.zero_()
    # Each result is added to zeros, which is exact.
    all_reduce([result for task in tasks for result in task.results])
