"""What the local runner starts in place of `kfp.dsl.executor_main`: the same, and a good child.

It dies with its runner, lets a step that is told to stop remove what it has not finished, and
reports why it failed in one line.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from components.errors import IntentError
from components.progress import PROGRESS_FILE

RUNNER = "INTENT_RUNNER"
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run the step named by kfp's arguments."""
    from kfp.dsl.executor_main import executor_main

    _die_with(int(os.environ[RUNNER]))
    signal.signal(signal.SIGTERM, _stop)
    try:
        executor_main()
    except IntentError as error:
        _report(str(error))
        raise
    except Exception as error:
        _report(f"{type(error).__name__}: {error}")
        raise


def _die_with(runner: int) -> None:
    """Ask the kernel to end this process when `runner` ends, however it ends.

    Elsewhere than on Linux the step finishes; until then the lock that it inherits keeps other
    runners out of its directory.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != runner:
            sys.exit("the runner is gone")


def _stop(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _report(error: str) -> None:
    with Path(os.environ[PROGRESS_FILE]).open("a") as channel:
        channel.write(json.dumps({"error": error}) + "\n")


if __name__ == "__main__":
    main()
