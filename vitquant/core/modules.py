"""Modules of a network, by name and kind."""

from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


def submodule(model: nn.Module, name: str, kind: type[M]) -> M:
    """``model.get_submodule(name)``, which has to be a ``kind``.

    Raises:
        AttributeError: there is none of that name.
        TypeError: it is something else.
    """
    found = model.get_submodule(name)
    if not isinstance(found, kind):
        raise TypeError(f"{name} is a {type(found).__name__}, not a {kind.__name__}")
    return found
