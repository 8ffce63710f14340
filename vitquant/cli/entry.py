"""Where the installed script begins: before the slow imports, so that Ctrl-C is always heard."""

import os
import sys


def run() -> None:
    """Run the program and exit with its code."""
    try:
        from vitquant.cli.main import main

        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("vitquant: interrupted; nothing was written", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe has gone; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
