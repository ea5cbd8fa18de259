"""One way to show how far long work has come.

In a terminal a bar is drawn. Below a runner that draws one display over many processes (it sets
`INTENT_PROGRESS` to a file), each update is appended to that file as a JSON line. Otherwise silent.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

PROGRESS_FILE = "INTENT_PROGRESS"
SECONDS_BETWEEN_UPDATES = 0.25


class Bar(Protocol):
    """A running count of work done."""

    def advance(self, amount: float = 1, **figures: float | str) -> None:
        """Count `amount` more done; `figures`, such as the loss, are shown beside the bar."""


@contextmanager
def progress(description: str, *, total: float, done: float = 0) -> Iterator[Bar]:
    """Show progress over `total` units of work, starting from `done` (a resumed run)."""
    channel = os.environ.get(PROGRESS_FILE)
    if channel:
        bar = _FileBar(Path(channel), description, total, done)
        try:
            yield bar
        finally:
            bar.write()
    elif sys.stderr.isatty():
        with _terminal_bar(description, total, done) as terminal:
            yield terminal
    else:
        yield _Silent()


class _Silent:
    def advance(self, amount: float = 1, **figures: float | str) -> None:
        pass


class _FileBar:
    def __init__(self, path: Path, description: str, total: float, done: float):
        self._path, self._next = path, 0.0
        self._figures: dict[str, float | str] = {}
        self._state = {"description": description, "total": total, "figures": self._figures}
        self._done = done

    def advance(self, amount: float = 1, **figures: float | str) -> None:
        self._done += amount
        self._figures.update(figures)
        if time.monotonic() >= self._next:
            self.write()

    def write(self) -> None:
        self._next = time.monotonic() + SECONDS_BETWEEN_UPDATES
        with self._path.open("a") as out:
            out.write(json.dumps({**self._state, "done": self._done}) + "\n")


@contextmanager
def _terminal_bar(description: str, total: float, done: float) -> Iterator[Bar]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as display:
        task = display.add_task(description, total=total, figures="")
        display.update(task, completed=done)

        class Terminal:
            def advance(self, amount: float = 1, **figures: float | str) -> None:
                display.update(task, advance=amount)
                if figures:
                    display.update(task, figures=format_figures(figures))

        yield Terminal()


def format_figures(figures: dict) -> str:
    """Render figures as `loss=3.21 tokens/s=5,300`."""
    return " ".join(f"{name}={_readable(value)}" for name, value in figures.items())


def _readable(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
