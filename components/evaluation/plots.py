"""Plots of suggestions and vectors, as SVG that follows the page."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evaluation.canvas import SERIES as COLOURS
from components.evaluation.canvas import SOFT, canvas, legend_below, svg
from components.evaluation.evaluate import METHODS, OURS

OF_EVERY_RUN = (
    *METHODS[:3],
    "fastText+Slice",
    "BERT_PT+Slice",
    "BERT_FT+Slice",
    "BERT+e2e",
)
"""These have the page's first colours; a method that may be left out has one of the last."""
SERIES = dict(
    zip((*OF_EVERY_RUN, *(m for m in METHODS if m not in OF_EVERY_RUN)), COLOURS, strict=True)
)
FLOORS = METHODS[:3]
GROUP_COLOURS = (
    "#4e79a7",
    "#f28e2b",
    "#59a14f",
    "#e15759",
    "#b07aa1",
    "#3ba6a0",
    "#d4a514",
    "#9c755f",
    "#e377c2",
)
OTHER_COLOUR = "#9aa0a6"
FEWEST_ON_A_MAP = 20
NEIGHBOURS = 10


def loss_curves(logs: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Draw training and validation loss over the steps, a panel per log.

    Args:
        logs: title to entries with `step`, `loss` and, where it was taken, `validation_loss`.
    """
    with canvas("loss", len(logs), height=2.7) as (figure, axes):
        for axis, (title, log) in zip(axes[0], logs.items(), strict=True):
            steps = [entry["step"] for entry in log if "loss" in entry]
            losses = [entry["loss"] for entry in log if "loss" in entry]
            axis.plot(steps, losses, color=SERIES["BERT+e2e"], linewidth=1, label="training")
            checked = [entry for entry in log if "validation_loss" in entry]
            axis.plot(
                [entry["step"] for entry in checked],
                [entry["validation_loss"] for entry in checked],
                color=SERIES[OURS],
                linewidth=1.8,
                marker="o",
                markersize=3.5,
                label="validation",
            )
            axis.set(title=title, xlabel="step")
            axis.legend()
        return svg(figure, "loss")


def frequency_curves(
    bands: Sequence[Mapping[str, Any]], datasets: Sequence[str], *, shown: int
) -> str:
    """Draw precision and recall by how frequent a label is in training.

    Args:
        bands: rows of `frequency` as `evaluate` returns them.
        datasets: a row of panels each.
        shown: suggestions that count.
    """
    figures = {
        "precision": f"precision of the top {shown}",
        "recall": f"true labels found in the top {shown}",
    }
    with canvas("frequency", 2, rows=len(datasets), height=2.5 * len(datasets) + 0.6) as (
        figure,
        axes,
    ):
        for row, dataset in zip(axes, datasets, strict=True):
            own = _of_methods_that_suggest(bands, dataset)
            for axis, (key, title) in zip(row, figures.items(), strict=True):
                for method in _methods(own):
                    line = [band for band in own if band["method"] == method]
                    values = [
                        band[key] if key == "recall" or band["suggested"] > 0 else np.nan
                        for band in line
                    ]
                    axis.plot(range(len(line)), values, marker="o", markersize=3, **_line(method))
                axis.set_xticks(range(len(line)), [band["band"].replace("-", "–") for band in line])
                axis.set(title=f"{dataset}: {title}", ylim=(0, None))
        for axis in axes[-1]:
            axis.set_xlabel("training members who have the label")
        legend_below(figure, axes[0][0])
        return svg(figure, "frequency")


def coverage_and_precision(rows: Sequence[Mapping[str, Any]], datasets: Sequence[str]) -> str:
    """Place every method by how many labels it ever suggests and how often it is right.

    Args:
        rows: of the table `query_recommendation`.
        datasets: a panel each.
    """
    with canvas("coverage", len(datasets), height=3.4) as (figure, axes):
        for axis, dataset in zip(axes[0], datasets, strict=True):
            own = [row for row in rows if row["dataset"] == dataset and row["coverage"] > 0]
            for row in own:
                method = row["method"]
                colour = _line(method)["color"]
                size = 70 if method == OURS else 36
                axis.scatter(
                    row["coverage"], row["p@1"], s=size, color=colour, zorder=3, label=method
                )
            axis.set(title=dataset, xlabel="suggestion coverage", ylim=(0, None), xlim=(0, None))
        axes[0][0].set_ylabel("precision at 1")
        legend_below(figure, axes[0][0])
        return svg(figure, "coverage")


def vector_maps(
    vectors: Mapping[str, NDArray[np.float32]], groups: Sequence[str] | None, *, seed: int
) -> str | None:
    """Map members to two dimensions (PCA, then t-SNE), a panel per kind of vector.

    Args:
        vectors: title to float32 [n, d], the same members in each.
        groups: what a member is coloured by, such as the occupation, [n].
        seed: of PCA and t-SNE.

    Returns:
        The plot; None for fewer members than a map can show.

    Source: van der Maaten and Hinton, Visualizing data using t-SNE, 2008.
    """
    members = min((len(array) for array in vectors.values()), default=0)
    if members < FEWEST_ON_A_MAP:
        return None
    largest, colours = _group_colours(groups, members)
    with canvas("map", len(vectors), height=3.6) as (figure, axes):
        for axis, (title, array) in zip(axes[0], vectors.items(), strict=True):
            x, y = _project(array, seed).T
            order = np.argsort(colours != OTHER_COLOUR, kind="stable")
            axis.scatter(
                x[order], y[order], s=5, c=colours[order], linewidths=0, alpha=0.85, rasterized=True
            )
            if groups is not None:
                alike = _neighbours_alike(array, np.asarray(groups))
                title = f"{title}: {alike:.0%} alike"
            axis.set(title=title, xticks=[], yticks=[])
            axis.spines["bottom"].set_visible(False)
            axis.grid(visible=False)
        for name, colour in largest.items():
            axes[0][0].scatter([], [], s=24, color=colour, label=name)
        if largest:
            legend_below(figure, axes[0][0])
        return svg(figure, "map")


def same_group_by_chance(groups: Sequence[str]) -> float:
    """Return the chance that two members drawn at random are of one group."""
    _, counts = np.unique(np.asarray(groups), return_counts=True)
    return float((counts * (counts - 1)).sum() / (len(groups) * (len(groups) - 1)))


def _project(vectors: NDArray[np.float32], seed: int) -> NDArray[np.floating]:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    unit = _unit(vectors)
    dimensions = min(50, *unit.shape)
    compressed = PCA(dimensions, random_state=seed).fit_transform(unit)
    perplexity = min(30, (len(unit) - 1) / 3)
    return TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(compressed)


def _neighbours_alike(vectors: NDArray[np.float32], groups: NDArray) -> float:
    from sklearn.neighbors import NearestNeighbors

    unit = _unit(vectors)
    near = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(unit).kneighbors(return_distance=False)
    return float((groups[near] == groups[:, None]).mean())


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1), np.float32)


def _group_colours(groups: Sequence[str] | None, members: int) -> tuple[dict[str, str], NDArray]:
    if groups is None:
        return {}, np.full(members, GROUP_COLOURS[0])
    names, codes, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")[: len(GROUP_COLOURS)]
    colours = np.full(len(names), OTHER_COLOUR)
    colours[order] = GROUP_COLOURS[: len(order)]
    largest = {str(names[i]): str(colours[i]) for i in order}
    if len(names) > len(order):
        largest["others"] = OTHER_COLOUR
    return largest, colours[codes]


def _methods(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows))


def _of_methods_that_suggest(
    bands: Sequence[Mapping[str, Any]], dataset: str
) -> list[Mapping[str, Any]]:
    own = [band for band in bands if band["dataset"] == dataset]
    speaking = {band["method"] for band in own if band["suggested"] > 0}
    return [band for band in own if band["method"] in speaking]


def _line(method: str) -> dict[str, Any]:
    return {
        "label": method,
        "color": SERIES.get(method, SOFT),
        "linestyle": (0, (3, 2)) if method in FLOORS else "-",
        "linewidth": 2.4 if method == OURS else 1.3,
        "zorder": 3 if method == OURS else 2,
    }
