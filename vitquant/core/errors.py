"""What can go wrong, in one line for whoever runs the program."""


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


class PeerLostError(Exception):
    """Another process has ended, or cannot be reached. The message is one line."""


def first_line(error: BaseException) -> str:
    """What a foreign exception says, as part of a one-line message."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
