"""The `intent` command. What a sub-command needs is imported when it runs, so `--help` is quick."""

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from components.errors import IntentError
from pipelines.commands import (
    asking,
    experimenting,
    offering,
    running,
    serving,
    storing,
    submitting,
)

INTERRUPTED = 130
MENDABLE_BY_THE_USER = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command.

    Args:
        arguments: the command line without the program's name; the process's own unless given.

    Returns:
        The exit code: 0, 1 after an error that the user can mend, 130 when interrupted.
    """
    options = _parser().parse_args(arguments)
    # TensorFlow tells the terminal which processor it found, unless asked not to.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        options.do(options)
    except IntentError as error:
        return _fail(str(error))
    except OSError as error:
        if error.errno not in MENDABLE_BY_THE_USER:
            raise
        return _fail(str(error))
    except KeyboardInterrupt as interrupt:
        print(f"\nintent: {str(interrupt) or 'stopped'}", file=sys.stderr)
        return INTERRUPTED
    return 0


def _fail(message: str) -> int:
    print(f"intent: {message}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="intent",
        description="From raw member actions to activity vectors, and what is served from them.",
        epilog="`intent COMMAND --help` describes a command. Start with: intent run",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for group in (running, submitting, asking, offering, experimenting, storing, serving):
        group.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
