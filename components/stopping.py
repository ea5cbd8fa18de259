"""Being asked to end in the middle of long work: finish the step, save, then go."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stop:
    """Whether, and by which signal, the process was asked to end."""

    signal: int = 0


@contextmanager
def stop_signal() -> Iterator[Stop]:
    """Note SIGTERM and SIGINT instead of dying in the middle of a step."""
    stop = Stop()

    def note(number: int, _frame: object) -> None:
        stop.signal = number

    previous: dict[signal.Signals, Any] = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            previous[number] = signal.signal(number, note)
        except ValueError:  # not in the main thread: whoever runs us handles signals
            break
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
