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

    trains: whether it takes optimisation steps. divides: whether several processes can share its
    work. resumes: whether it can go on from a saved state.
    """

    name: str
    run: Run
    trains: bool
    summary: str
    divides: bool
    resumes: bool

    def samples(self, settings: Settings) -> int:
        """How many images it wants: one that does not train only searches scales."""
        return settings.samples if self.trains else min(settings.samples, settings.init_images)


METHODS: dict[str, Method] = {}


def register(
    name: str, *, trains: bool, divides: bool | None = None, resumes: bool = False
) -> Callable[[Run], Run]:
    """Make a function known as the method ``name``; its docstring's first line is the summary.

    See :class:`Method`. A method that does not train can be divided if nobody says otherwise: what
    it starts from, the job's samples, is divided already.
    """

    def add(run: Run) -> Run:
        summary = (run.__doc__ or "").strip().splitlines()[0]
        divided = not trains if divides is None else divides
        METHODS[name] = Method(name, run, trains, summary, divided, resumes)
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
