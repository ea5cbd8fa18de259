"""The tables of the news section of the report: Table 9 and what stands beside it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.evaluation.metrics import difference_interval, mean_interval
from components.news.config import COMBINATIONS
from components.news.impressions import Impressions
from components.news.metrics import Figures, figures_of

MEASURED = "measured.json"
RANDOM, CLICKED = "random", "most clicked"
MEASURES = dict(zip(Figures._fields, ("auc", "mrr", "ndcg@5", "ndcg@10"), strict=True))
PUBLISHED: dict[str, tuple[float, ...]] = dict(
    zip(
        COMBINATIONS,
        ((0.671, 0.322, 0.355, 0.417), (0.681, 0.330, 0.365, 0.426), (0.689, 0.333, 0.369, 0.431)),
        strict=True,
    )
)
"""Table 9, in the order of MEASURES."""
PUBLISHED_LOSSES = {"mlm_loss": 1.069, "nsp_loss": 0.507}
"""At the end of the published pre-training (Appendix A)."""


def floors(
    impressions: Impressions, positions: NDArray[np.int64], *, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Return scores of candidates by rankers that know nothing of the member.

    Args:
        impressions: of all folds.
        positions: int64[m], where the candidates lie.
        seed: of the random order.

    Returns:
        A random order, and clicks of each item in the train fold.
    """
    shown, _ = impressions.positions(impressions.select("train"))
    clicked = impressions.items[shown[impressions.clicked[shown] > 0]]
    clicks = np.bincount(clicked, minlength=int(impressions.items.max(initial=0)) + 1)
    luck = np.random.default_rng(seed).random(len(positions))
    return {RANDOM: luck, CLICKED: clicks[impressions.items[positions]].astype(np.float64)}


def figure_table(
    ranks: Mapping[str, NDArray[np.int32]],
    clicked: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    facts: Mapping[str, Mapping],
    *,
    resamples: int,
    seed: int,
) -> dict[str, list[dict]]:
    """Measure rankers on the same impressions.

    Args:
        ranks: of the candidates, by combination or floor, int32[m] each.
        clicked: bool[m].
        offsets: int64[n + 1].
        facts: what else a row says, by combination.
        resamples: draws of impressions for the intervals.
        seed: of the draws.

    Returns:
        The tables `mind`, a row per ranker with 95% intervals over impressions and the published
        figures, and `mind_differences`, of each combination and every ranker before it.
    """
    figures = {name: figures_of(own, clicked, offsets) for name, own in ranks.items()}
    rows = []
    for name, own in figures.items():
        row: dict = {"combination": name}
        for field, measure in MEASURES.items():
            values = getattr(own, field)
            mean, low, high = mean_interval(
                values[np.isfinite(values)], resamples=resamples, seed=seed
            )
            row |= {measure: mean, f"{measure}_low": low, f"{measure}_high": high}
        row |= {"impressions": int(np.isfinite(own.auc).sum()), **facts.get(name, {})}
        published = zip(MEASURES.values(), PUBLISHED.get(name, ()), strict=False)
        rows.append(row | {f"published_{measure}": value for measure, value in published})
    return {"mind": rows, "mind_differences": _differences(figures, resamples, seed)}


def pretraining_table(log: Path) -> list[dict]:
    """Return the row of `mind_pretraining`: both losses at the end, beside the published ones.

    Args:
        log: `log.jsonl` of an encoder; its losses on validation members are taken.

    Returns:
        A row; none for an encoder that did not learn the next sentence.
    """
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    last = next((entry for entry in reversed(entries) if "validation_nsp_loss" in entry), None)
    if last is None:
        return []
    row: dict = {"steps": last["step"]}
    for name, published in PUBLISHED_LOSSES.items():
        row |= {name: last[f"validation_{name}"], f"published_{name}": published}
    return [row]


def _differences(figures: Mapping[str, Figures], resamples: int, seed: int) -> list[dict]:
    rows = []
    names: Sequence[str] = list(figures)
    for number, name in enumerate(names):
        for against in names[:number] if name in PUBLISHED else ():
            for place, (field, measure) in enumerate(MEASURES.items()):
                ours, theirs = (getattr(figures[method], field) for method in (name, against))
                measured = np.isfinite(ours)
                difference, low, high = difference_interval(
                    ours[measured], theirs[measured], resamples=resamples, seed=seed
                )
                row = {
                    "method": name,
                    "against": against,
                    "measure": measure,
                    "difference": difference,
                    "low": low,
                    "high": high,
                    "percent": 100 * difference / float(theirs[measured].mean()),
                }
                if against in PUBLISHED:
                    row["published"] = PUBLISHED[name][place] - PUBLISHED[against][place]
                rows.append(row)
    return rows
