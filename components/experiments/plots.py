"""Plots of an experiment's result, as SVG that follows the page."""

from datetime import UTC, datetime

from components.evaluation.canvas import INK, SERIES, SOFT, canvas, legend_below, svg
from components.experiments.metrics import metric
from components.experiments.result import Analysis

_SURE, _OPEN = SERIES[5], SOFT
_COLOURS = (SERIES[5], SERIES[3], SERIES[6], SERIES[4], SERIES[2], SERIES[1])


def lifts(analysis: Analysis) -> str:
    """Draw every metric's lift of every treatment with both of its intervals."""
    rows = [c for c in analysis.comparisons if c.enough and metric(c.metric).outcome]
    if not rows:
        return ""
    with canvas("lifts", 1, height=0.9 + 0.34 * len(rows)) as (figure, axes):
        axis = axes[0][0]
        for place, row in enumerate(reversed(rows)):
            sure = row.always_low > 0 or row.always_high < 0
            colour = _SURE if sure else _OPEN
            axis.plot(
                [100 * row.always_low, 100 * row.always_high],
                [place, place],
                color=colour,
                linewidth=1,
            )
            axis.plot([100 * row.low, 100 * row.high], [place, place], color=colour, linewidth=4)
            axis.plot([100 * row.lift], [place], color=INK, marker="o", markersize=5)
        axis.axvline(0, color=SOFT, linewidth=0.8)
        names = [f"{row.variant}: {metric(row.metric).title}" for row in reversed(rows)]
        axis.set_yticks(range(len(rows)), names)
        axis.grid(visible=False)
        axis.set(
            xlabel=f"percent more than {analysis.control}; thick: 95% for one look, "
            "thin: 95% for all looks"
        )
        return svg(figure, "lifts")


def looks(analysis: Analysis) -> str:
    """Draw how the primary metric's lift and its always-valid interval came about."""
    treatments = list(dict.fromkeys(look.variant for look in analysis.looks))
    if not treatments:
        return ""
    with canvas("looks", 1, height=3.0) as (figure, axes):
        axis = axes[0][0]
        for variant, colour in zip(treatments, _COLOURS * 2, strict=False):
            own = [look for look in analysis.looks if look.variant == variant]
            times = [datetime.fromtimestamp(look.ts / 1e6, UTC) for look in own]
            axis.plot(
                times,
                [100 * look.lift for look in own],
                color=colour,
                marker="o",
                markersize=3,
                linewidth=1.6,
                label=variant,
            )
            axis.fill_between(
                times,
                [100 * look.always_low for look in own],
                [100 * look.always_high for look in own],
                color=colour,
                alpha=0.15,
                linewidth=0,
            )
        axis.axhline(0, color=SOFT, linewidth=0.8)
        # The first, widest intervals would flatten all that follows.
        last = [look for look in analysis.looks if look.ts == analysis.last]
        reach = max((abs(x) for y in last for x in (y.always_low, y.always_high)), default=1) * 200
        title = metric(analysis.primary).title
        axis.set_ylim(-reach, reach)
        axis.set(title=f"{title[0].upper()}{title[1:]}, percent more than {analysis.control}")
        axis.tick_params(axis="x", rotation=20)
        legend_below(figure, axis)
        return svg(figure, "looks")
