"""What can go wrong, in one line for whoever runs the program."""


class UserError(Exception):
    """Unusable arguments or input.

    The message is one line that names the argument or the file at fault and says what would be
    accepted. Where it names an option such as ``--steps``, the keyword ``steps`` is meant. The
    command line prints it and exits with code 2, without a traceback.
    """


class CheckFailedError(Exception):
    """A check failed, or training diverged: the loss became infinite or not a number.

    Checks are those that the user asks for, such as ``min_top1``, and the verification of an
    exported file. The message is one line. The command line prints it and exits with code 1.
    """


class VitquantWarning(UserWarning):
    """Something about the input that the user should know. The message is one line."""


class Interrupted(Exception):  # noqa: N818 - it is no error
    """Ctrl-C in a run that leaves something behind. The message is one line; exit code 130."""


class PeerLostError(Exception):
    """Another process has ended, or cannot be reached. The message is one line."""


def first_line(error: BaseException) -> str:
    """What a foreign exception says, as part of a one-line message."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
