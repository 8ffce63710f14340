"""What went wrong with an upload, and what to do about it, in one line."""

import huggingface_hub

from vitquant.core.errors import UserError
from vitquant.hub.errand import Outcome
from vitquant.hub.redact import redact

_AGAIN = "run the same command again"
_LOG_IN = "log in with `hf auth login` or set HF_TOKEN"


def failure(outcome: Outcome, repository: str, token: str | None) -> UserError:
    """The error for an upload that did not end with a commit. Holds no token."""
    if outcome.public:
        return UserError(
            f"--private: {repository} exists already and is public, and nothing was uploaded; make "
            f"it private on the Hub, name another repository, or leave out --private"
        )
    cause, remedy = _cause(outcome, repository, token)
    said = _said(outcome, token)
    return UserError(f"--push-to-hub: {cause}{said}; {_state(outcome, repository)}; {remedy}")


def _cause(outcome: Outcome, repository: str, token: str | None) -> tuple[str, str]:
    """What happened, and what to do."""
    status, owner = outcome.status, repository.partition("/")[0]
    if status == 401:
        if token or huggingface_hub.get_token():
            return "the Hub does not accept the token (401)", f"{_LOG_IN}, and {_AGAIN}"
        return "the Hub wants a token (401), and there is none", f"{_LOG_IN}, and {_AGAIN}"
    if status == 403:
        return (
            f"the token may not write to {repository} (403)",
            f"{_LOG_IN} with a token that may write for {owner}, and {_AGAIN}",
        )
    if status == 404:
        return f"the Hub does not find {repository} (404)", f"check the name, and {_AGAIN}"
    if status in (409, 412):
        return (
            f"the Hub reports a conflict over {repository} ({status}): somebody else is changing "
            f"it, or the name is taken",
            f"{_AGAIN}, or name another repository",
        )
    if status == 429:
        return "the Hub allows no more requests for now (429)", f"wait, and {_AGAIN}"
    if status is not None and status >= 500:
        return f"the Hub has failed ({status})", f"{_AGAIN} later"
    if status is not None:
        return f"the Hub refuses the upload ({status})", f"correct that, and {_AGAIN}"
    if outcome.timed_out and outcome.answered is not None and _may_pass(outcome.answered):
        return (
            f"the Hub has failed ({outcome.answered}) again and again for {outcome.patience:.0f} s",
            f"{_AGAIN} later",
        )
    if outcome.timed_out:
        return f"the Hub did not answer within {outcome.patience:.0f} s", f"{_AGAIN} later"
    return "the Hub could not be reached", f"check the network, and {_AGAIN}"


def _may_pass(status: int) -> bool:
    """Whether the client tries again after such an answer."""
    return status in (408, 429) or status >= 500


def _said(outcome: Outcome, token: str | None) -> str:
    """The client's own words, where they add something."""
    if outcome.timed_out or outcome.status == 401:
        return ""
    lines = [line.strip() for line in redact(outcome.message, token).splitlines()]
    words = next((line for line in lines if line), "")
    return f": {words.rstrip('.;:')}" if words else ""


def _state(outcome: Outcome, repository: str) -> str:
    if outcome.committing and outcome.status is None:
        return "whether the commit was made is not known, and it is made once at most"
    if outcome.created:
        return f"nothing was published, but the new repository {repository} is there, empty"
    return "nothing was published"
