"""Plots of ranking, similar members and confirmed hires, as SVG that follows the page."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.evaluation.canvas import INK, RULE, SERIES, SOFT, canvas, legend_below, svg

Row = Mapping[str, Any]

OURS_COLOUR, PEER_COLOUR, MODEL_COLOUR, FLOOR_COLOUR = SERIES[5], SERIES[3], SERIES[6], SERIES[1]
EFFORTS = {"hnsw": "HNSW, by efSearch", "clusters": "clusters, by how many are looked into"}
AUDIENCE_COLOURS = {"mean": OURS_COLOUR, "feedback": MODEL_COLOUR, "best": PEER_COLOUR}
_COLOURS = (FLOOR_COLOUR, PEER_COLOUR, MODEL_COLOUR, OURS_COLOUR, SERIES[4], SERIES[2])


def ndcg_by_frequency(rows: Sequence[Row], figure: str) -> str:
    """Draw a figure of every ranker by how often training members had searched for the query.

    Args:
        rows: of the table `ranking_frequency`.
        figure: key of the figure, such as "ndcg@25".
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    bands = list(dict.fromkeys(row["band"] for row in rows))
    with canvas("ndcg", 1, height=3.0) as (drawn, axes):
        axis = axes[0][0]
        for method, colour in zip(methods, _COLOURS, strict=False):
            own = {row["band"]: row[figure] for row in rows if row["method"] == method}
            there = [band for band in bands if band in own]
            axis.plot(
                [bands.index(band) for band in there],
                [own[band] for band in there],
                color=colour,
                marker="o",
                markersize=4,
                linewidth=1.6,
                label=method,
            )
        lists = {row["band"]: row["lists"] for row in rows}
        axis.set_xticks(
            range(len(bands)), [f"{b.replace('-', '–')}\n{lists[b]:,} lists" for b in bands]
        )
        axis.set(title=figure.upper(), xlabel="searches for the query by training members")
        legend_below(drawn, axis)
        return svg(drawn, "ndcg")


def lift_bars(rows: Sequence[Row]) -> str:
    """Draw differences in percent with their intervals, a bar each.

    Args:
        rows: with `method`, `against`, `figure`, `difference`, `low`, `high`, `lift_percent`.
    """
    shown = [row for row in rows if row["lift_percent"]]
    with canvas("lift", 1, height=0.6 + 0.32 * len(shown)) as (drawn, axes):
        axis = axes[0][0]
        for place, row in enumerate(reversed(shown)):
            unit = row["lift_percent"] / row["difference"]
            low, high = sorted((row["low"] * unit, row["high"] * unit))
            sure = low > 0 or high < 0
            axis.barh(place, row["lift_percent"], height=0.55, color=OURS_COLOUR if sure else SOFT)
            axis.plot([low, high], [place, place], color=INK, linewidth=1.4)
        axis.axvline(0, color=SOFT, linewidth=0.8)
        axis.set_yticks(
            range(len(shown)),
            [f"{r['method']} over {r['against']}: {r['figure']}" for r in reversed(shown)],
        )
        axis.grid(visible=False)
        axis.set(xlabel="percent, with 95% interval")
        return svg(drawn, "lift")


def reliability(bins: Sequence[Row]) -> str:
    """Draw observed rates against predicted probabilities.

    Args:
        bins: with `predicted`, `observed`, `low`, `high` and `count`.
    """
    with canvas("reliability", 2, height=3.0) as (drawn, axes):
        axis, sizes = axes[0]
        predicted = [row["predicted"] for row in bins]
        most = max([*predicted, *(row["high"] for row in bins)])
        axis.plot([0, most], [0, most], color=RULE, linewidth=1.2)
        axis.vlines(
            predicted, [row["low"] for row in bins], [row["high"] for row in bins], color=SOFT
        )
        observed = [row["observed"] for row in bins]
        axis.plot(predicted, observed, color=OURS_COLOUR, marker="o", markersize=4)
        axis.set(
            title="Reliability",
            xlabel="predicted probability",
            ylabel="observed rate",
            xlim=(0, most),
            ylim=(0, most),
        )
        sizes.bar(range(len(bins)), [row["count"] for row in bins], color=PEER_COLOUR)
        sizes.set_xticks(range(len(bins)), [f"{value:.2f}" for value in predicted])
        sizes.tick_params(axis="x", rotation=45)
        sizes.set(title="Applications in each bin", xlabel="mean predicted probability")
        return svg(drawn, "reliability")


def search_curve(rows: Sequence[Row]) -> str:
    """Draw recall and speed of the search for similar members against its effort.

    Args:
        rows: of the table `neighbours`.
    """
    kinds = list(dict.fromkeys(row["index"] for row in rows if row["width"] is not None))
    panels = {"recall": "Recall at 10", "queries_per_cpu_second": "Queries per CPU-second"}
    with canvas("search", 2, height=3.0) as (drawn, axes):
        for axis, (key, title) in zip(axes[0], panels.items(), strict=True):
            for kind, colour in zip(kinds, (PEER_COLOUR, OURS_COLOUR), strict=False):
                own = [row for row in rows if row["index"] == kind]
                axis.plot(
                    [row["width"] for row in own],
                    [row[key] for row in own],
                    color=colour,
                    marker="o",
                    markersize=4,
                    label=EFFORTS.get(kind, kind),
                )
            for row in rows:
                if row["width"] is None:
                    axis.axhline(
                        row[key], color=FLOOR_COLOUR, linestyle="--", label="everyone compared"
                    )
            axis.set(title=title, xlabel="effort", xscale="log", ylim=(0, None))
        legend_below(drawn, axes[0][0])
        return svg(drawn, "search")


def audience_curve(rows: Sequence[Row]) -> str:
    """Draw recall against the size of the audience, a line per way to find it.

    Args:
        rows: of the table `audience_curve`.
    """
    methods = list(dict.fromkeys(row["mechanism"] for row in rows))
    with canvas("audience", 1, height=3.0) as (drawn, axes):
        axis = axes[0][0]
        for method in methods:
            own = [row for row in rows if row["mechanism"] == method]
            colour = AUDIENCE_COLOURS.get(method, FLOOR_COLOUR)
            axis.plot(
                [row["per_posting"] for row in own],
                [row["recall"] for row in own],
                color=colour,
                linestyle="--" if colour == FLOOR_COLOUR else "-",
                marker="os^v"[methods.index(method) % 4],
                markersize=3,
                label=method,
            )
        axis.set(title="Recall", xlabel="members recommended for a posting", ylim=(0, None))
        legend_below(drawn, axis)
        return svg(drawn, "audience")
