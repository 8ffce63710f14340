"""vitquant: low-bit vision transformers without labelled data.

``load``, ``quantize`` and ``export`` are documented in docs/python.md.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitquant.api import export, load, quantize
    from vitquant.core.errors import CheckFailedError, UserError

__all__ = ["CheckFailedError", "UserError", "__version__", "export", "load", "quantize"]
__version__ = version("vitquant")

# Looked up when they are asked for: torch and timm take seconds to import, and the command line
# has to hear Ctrl-C before that.
_HOMES = {
    "export": "vitquant.api",
    "load": "vitquant.api",
    "quantize": "vitquant.api",
    "CheckFailedError": "vitquant.core.errors",
    "UserError": "vitquant.core.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
