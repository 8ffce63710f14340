"""Methods by name. Adding one is a module with a decorated function, imported here below."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from vitquant.errors import UserError
from vitquant.methods.job import Job
from vitquant.methods.settings import Settings

Run = Callable[[Job], nn.Module]


@dataclass(frozen=True)
class Method:
    """run: from a job to a model with learned quantizers, ready to be finished.

    trains: whether it takes optimisation steps.
    """

    name: str
    run: Run
    trains: bool
    summary: str

    def samples(self, settings: Settings) -> int:
        """How many images it wants: one that does not train only searches scales."""
        return settings.samples if self.trains else min(settings.samples, settings.init_images)


METHODS: dict[str, Method] = {}


def register(name: str, *, trains: bool) -> Callable[[Run], Run]:
    """Make a function known as the method ``name``; its docstring's first line is the summary."""

    def add(run: Run) -> Run:
        summary = (run.__doc__ or "").strip().splitlines()[0]
        METHODS[name] = Method(name, run, trains, summary)
        return run

    return add


def get_method(name: str) -> Method:
    """Look up a method.

    Raises:
        UserError: there is none of that name.
    """
    if name not in METHODS:
        raise UserError(f"--method: {name!r} is not a method; accepted: {', '.join(METHODS)}")
    return METHODS[name]
