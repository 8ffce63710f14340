"""A ``.pte`` file in ExecuTorch's Python runtime, which has XNNPACK in it."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vitquant.core.errors import UserError, first_line
from vitquant.core.files import check_name
from vitquant.exporters.runtimes.base import ExportedModule, NodeTime
from vitquant.exporters.runtimes.metadata import Metadata

MISSING = "ExecuTorch is not installed; pip install 'vitquant[executorch]'"
_FORWARD = "forward"
_DELEGATE = re.compile(rb"[A-Z]\w*Backend\b")


class ExecuTorch:
    """ExecuTorch, an optional dependency."""

    name, label, format = "executorch", "ExecuTorch", "executorch"

    def installed(self) -> bool:
        """Whether the package is there."""
        return find_spec("executorch") is not None

    def open(self, path: Path, metadata: Metadata) -> "ExecuTorchModule":
        """Raises UserError if ExecuTorch is missing or does not accept the file."""
        return ExecuTorchModule(path, metadata.num_classes)

    def profile(self, path: Path, images: Tensor, runs: int) -> list[NodeTime]:
        """Nothing: the released package is built without what would tell."""
        return []


class ExecuTorchModule(ExportedModule):
    """Runs the images of a batch one by one, with as many threads as PyTorch has."""

    def __init__(self, path: Path, num_classes: int) -> None:
        """Raises UserError if ExecuTorch cannot load the file."""
        super().__init__()
        self.num_classes = num_classes
        program = _load(path)
        try:
            with quiet_stderr():
                bindings = import_module("executorch.extension.pybindings.portable_lib")
                bindings._unsafe_reset_threadpool(torch.get_num_threads())
                self.method = program.load_method(_FORWARD)
        except RuntimeError as error:
            raise UserError(f"ExecuTorch does not run {path} ({_reason(path, error)})") from error

    def forward(self, images: Tensor) -> Tensor:
        given = images.detach().cpu().contiguous().split(1)
        found = [self.method.execute([image])[0] for image in given]
        return torch.cat(found).to(images.device)


def read_program_metadata(path: Path) -> Metadata:
    """Of an exported ``.pte`` file: what its methods without arguments return.

    Raises:
        UserError: there is no such file, it is damaged, or it is of another origin, or ExecuTorch
            is missing.
    """
    check_name(str(path), "FILE")
    if not path.is_file():
        raise UserError(f"FILE: {path} is not a file; one that vitquant export wrote is accepted")
    try:
        program = _load(path)
    except UserError as error:
        raise UserError(f"FILE: {error}") from error
    try:
        names = program.method_names - {_FORWARD}
        return Metadata.read({n: program.load_method(n).execute([])[0] for n in names})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"FILE: {path} is not a .pte that this vitquant wrote ({first_line(error)} in what it "
            f"says of itself); its preprocessing and classes are not known"
        ) from error


def _load(path: Path) -> Any:
    """The program. Raises UserError if ExecuTorch is missing or the file is no program."""
    if find_spec("executorch") is None:
        raise UserError(MISSING)
    try:
        with quiet_stderr():
            return import_module("executorch.runtime").Runtime.get().load_program(path)
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(
            f"{path} is not a readable ExecuTorch program ({first_line(error)}); it may be cut "
            f"short"
        ) from error


def _reason(path: Path, error: RuntimeError) -> str:
    """That the file is for another target, or what ExecuTorch says."""
    registered = import_module("executorch.runtime").Runtime.get().backend_registry
    found = {name.decode() for name in _DELEGATE.findall(path.read_bytes())}
    if others := sorted(found - set(registered.registered_backend_names)):
        return f"it was lowered for {', '.join(others)}; a file for XnnpackBackend is accepted"
    return first_line(error)


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Inside, what programs in C++ write to stderr is lost: ExecuTorch tells how it reads the
    processor's name, and what it thinks of a file before it returns an error."""
    sys.stderr.flush()
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)
