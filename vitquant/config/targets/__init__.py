"""The targets by name: each file of this folder with a ``TARGET``."""

from importlib import import_module
from pkgutil import iter_modules

from vitquant.config.targets.base import Target


def _targets() -> dict[str, Target]:
    names = [module.name for module in iter_modules(__path__)]
    modules = [import_module(f"{__name__}.{name}") for name in names if name != "base"]
    return {module.TARGET.name: module.TARGET for module in modules}


TARGETS = _targets()
DEFAULT_TARGET = "onnxruntime"
