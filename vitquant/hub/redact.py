"""Keep tokens out of everything that is printed, raised or written."""

import re

import huggingface_hub

_HIDDEN = "***"
# What tokens of the Hub look like, for those that are not the one in use.
_LOOKS_LIKE = re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9]{20,}")
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
