"""vitquant: low-bit vision transformers without labeled data.

``load``, ``quantize``, ``analyze``, ``evaluate``, ``export``, ``bench``, ``report``, ``synthesize``
and ``learn_prompts`` are documented in docs/reference/python.md.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitquant.core.errors import CheckFailedError, UserError
    from vitquant.workflows.allocation.analyze import analyze
    from vitquant.workflows.bench import bench
    from vitquant.workflows.evaluate import evaluate
    from vitquant.workflows.export import export
    from vitquant.workflows.learn_prompts import learn_prompts
    from vitquant.workflows.load import load
    from vitquant.workflows.quantize import quantize
    from vitquant.workflows.reporting.report import report
    from vitquant.workflows.synthesize import synthesize

__all__ = [
    "CheckFailedError",
    "UserError",
    "__version__",
    "analyze",
    "bench",
    "evaluate",
    "export",
    "learn_prompts",
    "load",
    "quantize",
    "report",
    "synthesize",
]
__version__: str

# What libraries report about those who use them, and keep in the home folder for that, is off
# unless the environment turns it on. They read this when they are imported, also by one another.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

# Looked up when they are asked for: torch and timm take seconds to import, and the command line
# has to answer before that.
_HOMES = {
    "analyze": "vitquant.workflows.allocation.analyze",
    "bench": "vitquant.workflows.bench",
    "evaluate": "vitquant.workflows.evaluate",
    "export": "vitquant.workflows.export",
    "learn_prompts": "vitquant.workflows.learn_prompts",
    "load": "vitquant.workflows.load",
    "quantize": "vitquant.workflows.quantize",
    "report": "vitquant.workflows.reporting.report",
    "synthesize": "vitquant.workflows.synthesize",
    "CheckFailedError": "vitquant.core.errors",
    "UserError": "vitquant.core.errors",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("vitquant")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
