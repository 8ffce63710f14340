"""What a user can do wrong, as one exception."""


def first_line(error: BaseException) -> str:
    """Of an exception's message; the name of its class if there is none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class UserError(Exception):
    """Unusable arguments or input.

    The message is one line that names the flag or the file at fault and says what would be
    accepted. The command line prints it and exits with code 2; it never becomes a traceback.
    """


class CheckFailedError(Exception):
    """A check failed: one that the user asked for, such as ``--min-top1``, or that the loss is a
    number. One line; exit code 1."""


class Interrupted(Exception):  # noqa: N818 - it is no error
    """Ctrl-C in a run that leaves something behind. The message is one line; exit code 130."""
