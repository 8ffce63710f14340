"""Methods by name. Adding one is a module with a decorated function, imported here below."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from vitquant.config.quantize import QuantizeSettings
from vitquant.core.errors import UserError
from vitquant.quantization.ptq.context import PTQContext

Run = Callable[[PTQContext], nn.Module]


@dataclass(frozen=True)
class Method:
    """run: from a context to a model with fake quantizers, ready to be converted.

    is_trained: whether it takes optimization steps. supports_distributed: whether several processes
    can share its work. supports_resume: whether it can go on from a saved state.
    """

    name: str
    run: Run
    is_trained: bool
    summary: str
    supports_distributed: bool
    supports_resume: bool

    def samples(self, settings: QuantizeSettings) -> int:
        """How many images it wants: one that does not train only searches scales."""
        return settings.samples if self.is_trained else min(settings.samples, settings.init_images)


METHODS: dict[str, Method] = {}


def register(
    name: str,
    *,
    is_trained: bool,
    supports_distributed: bool | None = None,
    supports_resume: bool = False,
) -> Callable[[Run], Run]:
    """Make a function known as the method ``name``; its docstring's first line is the summary.

    See :class:`Method`. A method that does not train can be divided if nobody says otherwise: what
    it starts from, the context's samples, is divided already.
    """

    def add(run: Run) -> Run:
        summary = (run.__doc__ or "").strip().splitlines()[0]
        divided = not is_trained if supports_distributed is None else supports_distributed
        METHODS[name] = Method(name, run, is_trained, summary, divided, supports_resume)
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
