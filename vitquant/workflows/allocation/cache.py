"""What single layers lose, kept for other budgets of the same model."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence

from vitquant.config.bits import Bits
from vitquant.core import distributed
from vitquant.core.errors import UserError
from vitquant.core.files import write_whole
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
    """What ``measure`` returns, from the cache where it was measured before.

    choices: the widths of each layer and matmul. All processes call it together.
    """
    run = run_fingerprint(context.model, context.images, context.settings)
    header = {name: run[name] for name in _MATTERS if name in run}
    header["choices"] = {name: list(map(str, own)) for name, own in choices.items()}
    text = json.dumps(header, sort_keys=True)
    path = job.root() / "sensitivity" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    found = None
    if distributed.is_main() and path.is_file():
        try:
            found = [float(loss) for loss in json.loads(path.read_text())]
        except (OSError, ValueError, TypeError):
            context.progress.warn(f"{path} cannot be read; losses are measured again")
    found = distributed.broadcast_object(found)
    if found is not None:
        context.progress.say(f"what single layers lose from {path}")
        return list(found)
    losses = measure()
    if distributed.is_main():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(losses).encode())
        except (OSError, UserError) as error:
            context.progress.warn(f"losses of single layers are not kept: {error}")
    return losses
