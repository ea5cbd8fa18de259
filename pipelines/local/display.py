"""What a run shows while it works: live bars in a terminal, one line per step elsewhere."""

import time
from contextlib import AbstractContextManager
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from components.progress import format_figures

NAME_WIDTH = 24
DESCRIPTION_WIDTH = 36


class Display(AbstractContextManager, Protocol):
    """Shows how far a run has come."""

    def more(self, steps: int) -> None:
        """Expect so many more steps than was said."""

    def started(self, title: str) -> None:
        """Say that a step begins."""

    def working(self, state: dict) -> None:
        """Show a state of the running step's bar, as `components.progress` writes it."""

    def finished(self, title: str, *, seconds: float, peak_bytes: int, kept: bool) -> None:
        """Say that a step is done, or was found done."""


def open_display(console: Console, steps: int) -> Display:
    """Choose the display that suits the console, for a run of so many steps."""
    return Bars(console, steps) if console.is_terminal else Lines(console, steps)


class Lines:
    """One line for each finished step."""

    def __init__(self, console: Console, steps: int):
        self._console, self._steps, self._done = console, steps, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: object) -> None:
        pass

    def more(self, steps: int) -> None:
        """Count to a higher number."""
        self._steps += steps

    def started(self, title: str) -> None:
        """Stay silent: a step's line comes with its end."""

    def working(self, state: dict) -> None:
        """Stay silent."""

    def finished(self, title: str, *, seconds: float, peak_bytes: int, kept: bool) -> None:
        """Print the step's line."""
        self._done += 1
        line = Text(f"{self._done:>3}/{self._steps}  {title:<{NAME_WIDTH}}")
        line.append("kept" if kept else f"{seconds:8.1f} s {_size(peak_bytes):>9}")
        self._console.print(line, soft_wrap=True)


class Bars:
    """A bar over all steps above a bar over the running one; finished steps scroll by."""

    def __init__(self, console: Console, steps: int):
        self._lines = Lines(console, steps)
        self._progress = Progress(
            TextColumn(f"{{task.description:<{DESCRIPTION_WIDTH}}}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[figures]}"),
            console=console,
            refresh_per_second=4,
            redirect_stdout=False,
            redirect_stderr=False,
            transient=True,
        )
        self._all = self._add("steps", total=steps)
        self._step: TaskID | None = None
        self._steps, self._done = steps, 0
        self._title, self._description, self._since = "", "", (0.0, 0.0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *about: object) -> None:
        self._progress.stop()

    def more(self, steps: int) -> None:
        """Make the bar over all steps longer."""
        self._lines.more(steps)
        self._steps += steps
        self._progress.update(self._all, total=self._steps)

    def started(self, title: str) -> None:
        """Show a pulsing bar until the step tells how much it has to do."""
        self._title = self._description = title
        self._step = self._add(title, total=None)

    def working(self, state: dict) -> None:
        """Draw the step's own count, or a new bar when it turns to another kind of work."""
        if self._step is None:
            return
        description = f"{self._title} · {state['description']}"
        is_new = description != self._description
        if is_new:
            self._description = description
            self._since = (time.monotonic(), state["done"])
            self._progress.reset(self._step)
        self._progress.update(
            self._step,
            description=description,
            total=state["total"],
            completed=state["done"],
            count=f"{state['done']:,.0f}/{state['total']:,.0f}",
            left=self._time_left(state),
            figures=format_figures(state["figures"]),
            refresh=is_new,
        )

    def finished(self, title: str, *, seconds: float, peak_bytes: int, kept: bool) -> None:
        """Turn the step's bar into a line above the bars."""
        if self._step is not None:
            self._progress.remove_task(self._step)
            self._step = None
        self._lines.finished(title, seconds=seconds, peak_bytes=peak_bytes, kept=kept)
        self._done += 1
        self._progress.update(self._all, completed=self._done, count=f"{self._done}/{self._steps}")

    def _add(self, description: str, *, total: float | None) -> TaskID:
        return self._progress.add_task(description, total=total, count="", left="", figures="")

    def _time_left(self, state: dict) -> str:
        begin, first = self._since
        rate = (state["done"] - first) / max(time.monotonic() - begin, 1e-9)
        if rate <= 0:
            return ""
        minutes, seconds = divmod(round((state["total"] - state["done"]) / rate), 60)
        return f"{minutes}:{seconds:02} left"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
