"""What a user can do wrong, as one exception."""


class UserError(Exception):
    """Unusable arguments or input.

    The message is one line that names the flag or the file at fault and says what would be
    accepted. The command line prints it and exits with code 2; it never becomes a traceback.
    """


class CheckFailedError(Exception):
    """A check that the user asked for failed, such as ``--min-top1``; exit code 1."""
