"""Which repository of the Hub a name means, and what its files are called."""

from dataclasses import dataclass

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from vitquant.core.errors import UserError
from vitquant.models.sources.from_timm import HUB

CHECKPOINT, CONFIG, CARD, ONNX = "model.safetensors", "config.json", "README.md", "model.onnx"


@dataclass(frozen=True)
class Repository:
    """``owner/name``, and a branch, tag or commit; None for the default branch."""

    id: str
    revision: str | None = None

    @classmethod
    def of(cls, name: str, revision: str | None = None) -> "Repository":
        """The repository of ``hf-hub:owner/name`` or ``hf-hub:owner/name@revision``.

        Raises:
            UserError: two different revisions are asked for.
        """
        identifier, _, written = name.removeprefix(HUB).partition("@")
        if written and revision is not None and written != revision:
            raise UserError(f"revision: {revision!r} is not the one in {name!r}; give one of them")
        return cls(identifier, written or revision)


def check_identifier(identifier: str, flag: str = "--push-to-hub") -> None:
    """Raise a UserError unless ``identifier`` is ``OWNER/NAME``."""
    try:
        validate_repo_id(identifier)
        if identifier.count("/") == 1:
            return
    except HFValidationError:
        pass
    raise UserError(
        f"{flag}: {identifier!r} names no repository; OWNER/NAME of letters, digits, '-', '_' and "
        f"'.' is accepted"
    )
