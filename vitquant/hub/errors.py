"""What went wrong with the Hub and what to do about it, in one line that holds no token."""

import re
from collections.abc import Iterator

import huggingface_hub

from vitquant.core.errors import UserError
from vitquant.hub.deadline import DeadlineError

_AGAIN = "run the same command again"
_LOG_IN = "log in with `hf auth login` or set HF_TOKEN"
_HIDDEN = "***"
# What tokens of the Hub look like, for those that are not the one in use.
_LOOKS_LIKE = re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9]{20,}")
# The query of an address that a file is sent to grants the right to send it.
_QUERY = re.compile(r"(https?://[^\s?'\"]+\?)[^\s'\"]+")
# Of a shorter secret, such as a test's, the letters may be part of an innocent word.
_SHORT = 8


def redact(text: str, token: str | None = None) -> str:
    """``text`` without ``token``, the token that is logged in, or anything that looks like one."""
    for secret in (token, huggingface_hub.get_token()):
        if secret and len(secret) < _SHORT:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", _HIDDEN, text)
        elif secret:
            text = text.replace(secret, _HIDDEN)
    return _LOOKS_LIKE.sub(_HIDDEN, text)


def http_status(error: BaseException) -> int | None:
    """The status of the answer that ``error`` is about; None without an answer."""
    return getattr(getattr(_answered(error), "response", None), "status_code", None)


def upload_error(
    error: Exception, repository: str, state: str, silence: float, token: str | None
) -> UserError:
    """The error for an upload that did not end with a commit.

    state: what is known of the commit. silence: seconds that a request was waited for.
    """
    status, late = http_status(error), _late(error, silence)
    if status is not None:
        cause, remedy = _advice(status, repository, token)
    elif late is None:
        cause, remedy = "the Hub could not be reached", f"check the network, and {_AGAIN}"
    elif late.status in (408, 429) or (late.status or 0) >= 500:  # the client tries again
        cause = f"the Hub has failed ({late.status}) again and again for {late.seconds:.0f} s"
        remedy = f"{_AGAIN} later"
    else:
        cause, remedy = f"the Hub did not answer within {late.seconds:.0f} s", f"{_AGAIN} later"
    said = "" if late is not None or status == 401 else _said(error, token)
    return UserError(f"--push-to-hub: {cause}{said}; {state}; {remedy}")


def _late(error: Exception, silence: float) -> DeadlineError | None:
    """``error`` where it says that time ran out, be it within a request of ``silence`` seconds."""
    if isinstance(error, DeadlineError):
        return error
    timed_out = any("Timeout" in type(cause).__name__ for cause in _chain(error))
    return DeadlineError(silence) if timed_out else None


def _answered(error: BaseException) -> BaseException:
    """The error that has an answer of the Hub, where the client has wrapped it in another."""
    return next((e for e in _chain(error) if getattr(e, "response", None) is not None), error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _advice(status: int, repository: str, token: str | None) -> tuple[str, str]:
    """What an HTTP status means, and what to do."""
    owner = repository.partition("/")[0]
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
    if status >= 500:
        return f"the Hub has failed ({status})", f"{_AGAIN} later"
    return f"the Hub refuses the upload ({status})", f"correct that, and {_AGAIN}"


def _said(error: Exception, token: str | None) -> str:
    """The first line of the client's own words."""
    cause = _answered(error)
    words = redact(getattr(cause, "server_message", None) or str(cause), token)
    lines = [line.strip() for line in _QUERY.sub(rf"\1{_HIDDEN}", words).splitlines()]
    first = next((line for line in lines if line), "")
    return f": {first.rstrip('.;:')}" if first else ""
