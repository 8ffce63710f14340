"""What was measured of a model, for its card."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitquant.core.errors import UserError

_FRACTIONS, _REST = ("top1", "top5"), ("images", "data")
_ACCEPTED = "what vitquant eval --json printed is accepted"


def read_evaluation(path: Path, flag: str = "--evaluation") -> dict[str, Any]:
    """The object that ``vitquant eval --json`` printed into a file.

    Raises:
        UserError: the file holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not JSON"
        raise UserError(f"{flag}: {path} cannot be read ({reason}); {_ACCEPTED}") from error
    check_evaluation(found, flag)
    return found


def check_evaluation(found: Any, flag: str = "evaluation") -> None:
    """Raise a UserError unless a card can show ``found``."""
    if not isinstance(found, Mapping) or any(name not in found for name in (*_FRACTIONS, *_REST)):
        raise UserError(f"{flag}: it lacks {', '.join((*_FRACTIONS, *_REST))}; {_ACCEPTED}")
    reference = found.get("reference") or {}
    shown = [found.get(name) for name in _FRACTIONS]
    shown += [reference.get(name) for name in _FRACTIONS] if reference else []
    if not all(isinstance(value, (int, float)) and 0 <= value <= 1 for value in shown):
        raise UserError(f"{flag}: top1 and top5 have to be fractions from 0 to 1; {_ACCEPTED}")
