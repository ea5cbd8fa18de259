"""How well the clauses of each variant tell applications from other pairs, and what they retrieve.

Differences are paired: variants score the same pairs, and a draw of members is the same for all.

Source: paper, section 5.5 (Table 6: AUC and F1).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.candidates.pairs import Pairs

MEASURES = ("auc", "f1")
_DRAWS_AT_ONCE = 50


class Scored(NamedTuple):
    """What one variant says of the pairs.

    Attributes:
        odds: log-odds of each pair, float64[n].
        threshold: log-odds from which a pair counts as retrieved.
    """

    odds: NDArray[np.float64]
    threshold: float


class _Figures(NamedTuple):
    auc: NDArray[np.float64]
    f1: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]


def measure_pairs(
    pairs: Pairs,
    scored: Mapping[str, Scored],
    *,
    against: Sequence[tuple[str, str]],
    resamples: int,
    seed: int,
) -> tuple[list[dict], list[dict]]:
    """Measure AUC and F1 of every variant, and paired differences.

    Args:
        pairs: of the members measured; some were applied to, some not.
        scored: what each variant says of them.
        against: variants and those that they are compared with.
        resamples: draws of members.
        seed: of the draws.

    Returns:
        A row per variant: method, pairs, applied, members, auc, f1 with `_low` and `_high`,
        precision, recall, and auc_shown among the pairs shown alone. A row per difference: method,
        against, measure, difference, low, high, and percent of the other's figure.
    """
    _, owner = np.unique(pairs.member, return_inverse=True)
    members = int(owner.max()) + 1
    random = np.random.default_rng(seed)
    draws = random.multinomial(members, np.full(members, 1 / members), resamples)
    weights = np.concatenate([np.ones((1, members)), draws])
    figures = {name: _figures(own, pairs.applied, owner, weights) for name, own in scored.items()}
    every = np.ones((1, members))
    rows = []
    for name, own in scored.items():
        shown = Scored(own.odds[pairs.shown], own.threshold)
        row = {
            "method": name,
            "pairs": len(owner),
            "applied": int(pairs.applied.sum()),
            "members": members,
        }
        for measure in MEASURES:
            row |= _interval(measure, getattr(figures[name], measure))
        row |= {side: float(getattr(figures[name], side)[0]) for side in ("precision", "recall")}
        of_shown = _figures(shown, pairs.applied[pairs.shown], owner[pairs.shown], every)
        rows.append(row | {"auc_shown": float(of_shown.auc[0])})
    differences = [
        {
            "method": name,
            "against": other,
            "measure": measure,
            **_difference(getattr(figures[name], measure), getattr(figures[other], measure)),
        }
        for name, other in against
        for measure in MEASURES
    ]
    return rows, differences


def _figures(
    scored: Scored, applied: NDArray[np.bool_], owner: NDArray[np.int64], weights: NDArray
) -> _Figures:
    """Return the figures of every draw, whose weights [draws, members] say how often each came."""
    order = np.argsort(scored.odds, kind="stable")
    odds, applied, owner = scored.odds[order], applied[order], owner[order]
    _, tie = np.unique(odds, return_inverse=True)
    starts = np.flatnonzero(np.diff(tie, prepend=-1))
    retrieved = odds >= scored.threshold
    parts = []
    for at in range(0, len(weights), _DRAWS_AT_ONCE):
        often = weights[at : at + _DRAWS_AT_ONCE][:, owner]
        right, wrong = often * applied, often * ~applied
        # Of each run of equal odds: applications, and what lies below it; a tie is half.
        up, down = (np.add.reduceat(side, starts, axis=1) for side in (right, wrong))
        below = np.cumsum(down, axis=1) - down / 2
        pairs = right.sum(1) * wrong.sum(1)
        hits, named = right[:, retrieved].sum(1), often[:, retrieved].sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            parts.append(
                _Figures(
                    (up * below).sum(1) / pairs,
                    2 * hits / (named + right.sum(1)),
                    hits / named,
                    hits / right.sum(1),
                )
            )
    return _Figures(*map(np.concatenate, zip(*parts, strict=True)))


def _interval(name: str, drawn: NDArray[np.float64]) -> dict[str, float]:
    low, high = np.nanquantile(drawn[1:], [0.025, 0.975])
    return {name: float(drawn[0]), f"{name}_low": float(low), f"{name}_high": float(high)}


def _difference(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> dict[str, float | None]:
    apart = ours - theirs
    low, high = np.nanquantile(apart[1:], [0.025, 0.975])
    return {
        "difference": float(apart[0]),
        "low": float(low),
        "high": float(high),
        "percent": float(100 * apart[0] / theirs[0]) if theirs[0] else None,
    }
