"""The state of a training run in a file, from which a run that was interrupted resumes.

The file is a safetensors file: every parameter of the model, Adam's moments and steps, and in the
header which run it belongs to, how far that is, and its losses so far. What comes before training
is computed again: it depends on nothing else.
"""

import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

import vitquant
from vitquant.config.naming import OPTIONS
from vitquant.config.quantize import QuantizeSettings
from vitquant.core import distributed
from vitquant.core.errors import UserError, first_line
from vitquant.core.files import write_whole
from vitquant.core.progress import Progress
from vitquant.data.image_source import ImageSource
from vitquant.models.model import Model
from vitquant.quantization.ptq.context import PTQContext

_KEY = "vitquant-state"
_FORMAT = 1
_SECONDS = 30.0
# Of a large model the file is large: no more than a twentieth of the time goes into writing it.
_SPARING = 20.0
_UNREADABLE = (
    SafetensorError, OSError, AttributeError, KeyError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


@dataclass
class TrainingState:
    """Where the state of a run is kept, and which run that is.

    path: the file. every: steps from one writing to the next; None for every 30 seconds at most.
    run: what the run depends on, see :func:`run_fingerprint`.
    """

    path: Path
    every: int | None = None
    run: dict[str, Any] = field(default_factory=dict)
    _due: float = 0.0
    _failed: bool = False

    def check(self, run: dict[str, Any]) -> None:
        """Check, long before training starts, that a file which is there belongs to ``run``.

        Raises:
            UserError: it is cut short or foreign, or belongs to another run.
        """
        self.run = run
        if distributed.is_main():
            self._read({})

    def load(
        self, student: nn.Module, optimizer: torch.optim.Adam, history: list[dict[str, Any]]
    ) -> int:
        """Set model, optimizer and history to what the file holds; returns the steps done so far.

        Without a file that is 0, and nothing changes. The main process reads for all.

        Raises:
            UserError: the file is cut short or foreign, or belongs to another run.
        """
        tensors = _tensors(student, optimizer)
        header = self._read(tensors) if distributed.is_main() else None
        header = distributed.broadcast_object(header)
        self._due = time.monotonic() + _SECONDS
        if header is None:
            return 0
        distributed.broadcast(list(tensors.values()))
        history[:] = header["history"]
        return header["step"]

    def save_if_due(
        self,
        step: int,
        student: nn.Module,
        optimizer: torch.optim.Adam,
        history: list[dict[str, Any]],
        progress: Progress,
    ) -> None:
        """Write the state after ``step`` if it is time to; only the first failure is reported."""
        now = time.monotonic()
        due = now >= self._due if self.every is None else step % self.every == 0
        if not due or not distributed.is_main():
            return
        header = {"format": _FORMAT, "run": self.run, "step": step, "history": history}
        tensors = {name: t.detach().cpu() for name, t in _tensors(student, optimizer).items()}
        try:
            # One key alone: safetensors writes several in random order.
            write_whole(self.path, save(tensors, metadata={_KEY: json.dumps(header)}), "--resume")
        except UserError as error:
            if not self._failed:
                progress.warn(f"{error}; the run goes on, but cannot be resumed from here")
            self._failed = True
        written = time.monotonic()
        self._due = written + max(_SECONDS, _SPARING * (written - now))

    def remove(self) -> None:
        """The run is over."""
        if distributed.is_main():
            self.path.unlink(missing_ok=True)

    def _read(self, tensors: dict[str, Tensor]) -> dict[str, Any] | None:
        """Fill ``tensors`` from the file; returns its header, None if there is no file."""
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                text = (file.metadata() or {}).get(_KEY)
                header = {} if text is None else json.loads(text)
                if header.get("format") != _FORMAT:
                    raise self._unusable("was not written by this vitquant")
                self._check_run(header["run"])
                with torch.no_grad():
                    for name, tensor in tensors.items():
                        tensor.copy_(file.get_tensor(name))
            return {"step": header["step"], "history": header["history"]}
        except _UNREADABLE as error:
            raise self._unusable(f"is cut short or damaged ({first_line(error)})") from error

    def _check_run(self, run: dict[str, Any]) -> None:
        differing = [name for name in self.run if run.get(name) != self.run[name]]
        if not differing:
            return
        name = differing[0]
        there, here = run.get(name), self.run[name]
        short = max(len(str(there)), len(str(here))) <= 20
        values = f" ({there} there, {here} here)" if short else ""
        raise self._unusable(f"belongs to a run with another {name}{values}")

    def _unusable(self, what: str) -> UserError:
        return UserError(
            f"--resume: {self.path} {what}; remove it to start from the beginning, or give another "
            f"--out"
        )


def saved_state(context: PTQContext) -> TrainingState | None:
    """The state of the context's run; None where it is not to be resumed."""
    if context.resume is None:
        return None
    run = run_fingerprint(context.model, context.images, context.settings)
    return TrainingState(context.resume, context.save_every, run)


def _tensors(student: nn.Module, optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """Everything that a step changes, or could: what a run is at the end of a step."""
    names = {id(parameter): name for name, parameter in student.named_parameters()}
    tensors: dict[str, Tensor] = {
        f"parameter/{name}": parameter for name, parameter in student.named_parameters()
    }
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state[parameter]
            if not state:  # what Adam itself begins with
                state["step"] = torch.zeros((), device=parameter.device)
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
            for key, tensor in state.items():
                tensors[f"adam/{names[id(parameter)]}/{key}"] = tensor
    return tensors


# What calibration images come from: they count themselves.
_SOURCES = ("calib", "generator", "prompts")


def run_fingerprint(
    model: Model, images: ImageSource, settings: QuantizeSettings
) -> dict[str, Any]:
    """JSON values by the names of the options that they come from.

    Machine, threads and processes are left out: they change no more than the rounding of sums.
    """
    values = {name: value for name, value in settings.to_json().items() if name not in _SOURCES}
    run = {
        "version of vitquant": vitquant.__version__,
        "MODEL": model.identity.to_json(),
        "--calib": _digest(images),
        **{OPTIONS.option(name): value for name, value in values.items()},
    }
    return json.loads(json.dumps(run))


def _digest(images: ImageSource) -> str:
    """Hex SHA-256 over the decoded images, or the texts, in their order."""
    digest = hashlib.sha256()
    for i in range(len(images)):
        image: Any = images.image(i)
        if isinstance(image, str):
            digest.update(f"{image}\n".encode())
            continue
        digest.update(f"{image.size}\n".encode())
        digest.update(image.tobytes())
    return digest.hexdigest()
