"""Plots of the sessions report."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, RULE = "#1c1e21", "#62676d", "#e2e0d8"
SLICES = {
    "0_0_0": ("0_0_0  neither", "#b9b6ad"),
    "0_1_0": ("0_1_0  applies, no search", "#e08a4f"),
    "1_0_0": ("1_0_0  searches, no application", "#b5d0e6"),
    "1_1_0": ("1_1_0  applies, then searches", "#5b93c4"),
    "1_1_1": ("1_1_1  applies after a search", "#1f4e79"),
}
BINS = (*range(1, 11), 15, 20, 30, 50, 100)


def sessions_by_length(path: Path, kinds: Mapping[Any, int]) -> None:
    """Draw the paper's Figure 3: number of sessions by length, and share of slices by length.

    Args:
        path: SVG file to write.
        kinds: number of sessions by their `length`, in actions, and `slice`.
    """
    with _figure(path, columns=2, width=9.6) as (figure, (left, right)):
        bins = _bins(kinds)
        for name, (label, colour) in SLICES.items():
            line = {number: slices[name] for number, slices in bins.items() if slices[name]}
            left.plot(*_per_length(line), color=colour, marker="o", markersize=3, label=label)
        total = {number: slices.total() for number, slices in bins.items()}
        left.plot(*_per_length(total), color=INK, linewidth=1, linestyle=":", label="all")
        left.set(xscale="log", yscale="log", xlabel="actions in the session", ylabel="sessions")
        left.set_title("Number of sessions of each length")
        _plain_ticks(left)
        _stack(right, bins)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8.5)


def members_by_sessions(path: Path, members: Mapping[Any, int]) -> None:
    """Draw how many members have at least so many sessions, with and without searches.

    Args:
        path: SVG file to write.
        members: number of members by their `sessions` and whether they `searched`.
    """
    groups: list[tuple[str, str, Callable[[Any], bool]]] = [
        ("all members", INK, lambda one: True),
        ("members who never searched", SLICES["0_1_0"][1], lambda one: not one.searched),
    ]
    with _figure(path, columns=1, width=5.6) as (_, (axis,)):
        for label, colour, chosen in groups:
            counts: Counter[int] = Counter()
            for one, count in members.items():
                if chosen(one):
                    counts[one.sessions] += count
            remaining, at_least = counts.total(), {}
            for sessions in sorted(counts):
                at_least[sessions] = remaining
                remaining -= counts[sessions]
            axis.step(*_columns(at_least), where="post", color=colour, label=label)
        axis.set(xscale="log", yscale="log", xlabel="sessions", ylabel="members")
        axis.set_title("Members with at least so many sessions")
        _plain_ticks(axis)
        axis.legend()


def _bins(kinds: Mapping[Any, int]) -> dict[int, Counter[str]]:
    bins: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for kind, count in kinds.items():
        bins[sum(kind.length >= start for start in BINS) - 1][kind.slice] += count
    return bins


def _per_length(counts: Mapping[int, int]) -> tuple[list[float], list[float]]:
    """Middle of each bin, and sessions per length in it; the open last bin is left out."""
    closed = [number for number in sorted(counts) if number + 1 < len(BINS)]
    spans = [(BINS[number], BINS[number + 1] - 1) for number in closed]
    middles = [(first * last) ** 0.5 for first, last in spans]
    return middles, [
        counts[number] / (last - first + 1)
        for number, (first, last) in zip(closed, spans, strict=True)
    ]


def _stack(axis: "Axes", bins: Mapping[int, Counter[str]]) -> None:
    shown = sorted(bins)
    bottom = [0.0] * len(shown)
    for name, (_, colour) in SLICES.items():
        height = [bins[number][name] / bins[number].total() for number in shown]
        axis.bar(range(len(shown)), height, bottom=bottom, color=colour, width=0.86)
        bottom = [low + high for low, high in zip(bottom, height, strict=True)]
    names = [_bin_name(number) for number in shown]
    axis.set_xticks(range(len(shown)), names, rotation=45, ha="right", rotation_mode="anchor")
    axis.set(xlabel="actions in the session", ylim=(0, 1))
    axis.yaxis.set_major_formatter("{x:.0%}")
    axis.set_title("Share of slices")


def _bin_name(number: int) -> str:
    start = BINS[number]
    if number == len(BINS) - 1:
        return f"{start}+"
    last = BINS[number + 1] - 1
    return str(start) if last == start else f"{start}–{last}"


def _columns(counts: Mapping[int, int]) -> tuple[list[int], list[int]]:
    keys = sorted(counts)
    return keys, [counts[key] for key in keys]


def _plain_ticks(axis: "Axes") -> None:
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    axis.set_ylim(bottom=0.8)
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.yaxis.set_major_formatter(EngFormatter(sep=""))


@contextmanager
def _figure(path: Path, *, columns: int, width: float) -> "Iterator[tuple[Figure, list[Axes]]]":
    """Yield a figure and its axes; save it afterwards, the same bytes for the same data."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "axes.axisbelow": True,
        "axes.edgecolor": SOFT,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.labelcolor": SOFT,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlecolor": INK,
        "axes.titlelocation": "left",
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "font.size": 9,
        "grid.color": RULE,
        "legend.frameon": False,
        "svg.hashsalt": "sessions",
        "xtick.color": SOFT,
        "ytick.color": SOFT,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(width, 3.7), layout="constrained")
        yield figure, list(figure.subplots(1, columns, squeeze=False)[0])
        figure.savefig(path, format="svg", metadata={"Date": None}, transparent=True)
