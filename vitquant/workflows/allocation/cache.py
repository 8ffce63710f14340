"""What was measured for a budget, kept for others of the same model, and for a run that goes on."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vitquant.config.bits import Bits, parse_bits
from vitquant.core import distributed
from vitquant.core.errors import UserError
from vitquant.core.files import write_whole
from vitquant.quantization.bit_allocation.measure import Loss
from vitquant.quantization.bit_allocation.search import Found, Round
from vitquant.quantization.ptq.context import PTQContext
from vitquant.quantization.training.state import run_fingerprint
from vitquant.synthesis import job

# Of the settings, those on which losses of single layers depend.
_MATTERS = (
    "--target", "--seed", "--init-images", "--as-viewed", "--keep-float", "--rotate", "--per-head",
    "--prefix-scales", "--prefix-bits", "--sensitivity-images", "MODEL", "--calib",
    "version of vitquant",
)  # fmt: skip


def cached_losses(
    context: PTQContext,
    choices: Mapping[str, Sequence[Bits]],
    measure: Callable[[], list[float]],
) -> list[float]:
    """What single layers lose: what ``measure`` returns, or did for another budget.

    choices: the widths of each layer and matmul. All processes call it together.
    """
    run = run_fingerprint(context.model, context.images, context.settings)
    header = {name: run[name] for name in _MATTERS if name in run}
    header["choices"] = {name: list(map(str, own)) for name, own in choices.items()}
    found = _cached(context, "losses of single layers", header, measure)
    return [float(loss) for loss in found]


def cached_choice(context: PTQContext, search: Callable[[], Found]) -> Found:
    """The bits that ``search`` finds, or found when the same run was started before.

    A run that goes on must not train other bits, which the last digits of a loss could lead to.
    All processes call it together.
    """

    def plain() -> Any:
        found = search()
        bits = {name: str(own) for name, own in found.bits.items()}
        return [bits, found.loss, found.rounds]

    header = run_fingerprint(context.model, context.images, context.settings)
    bits, loss, rounds = _cached(context, "bits of layers", header, plain)
    return Found(
        {name: parse_bits(text) for name, text in bits.items()},
        Loss(*loss),
        [Round(*one) for one in rounds],
    )


def _cached(
    context: PTQContext, what: str, header: Mapping[str, Any], compute: Callable[[], Any]
) -> Any:
    """JSON from the cache, or computed now and kept there. header: all that it depends on."""
    text = json.dumps([what, header], sort_keys=True)
    path = job.root() / "allocation" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    found = None
    if distributed.is_main() and path.is_file():
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError):
            context.progress.warn(f"{path} cannot be read; {what} are measured again")
    if (found := distributed.broadcast_object(found)) is not None:
        context.progress.say(f"{what} from {path}")
        return found
    found = compute()
    if distributed.is_main():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(found).encode())
        except (OSError, UserError) as error:
            context.progress.warn(f"{what} are not kept: {error}")
    return found
