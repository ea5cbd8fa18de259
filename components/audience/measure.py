"""Offline: whom each method recommends postings to, and how many of these then applied.

Relevant are the test members who applied, after their context, to a posting with the same title;
recommended is the part of an audience that are test members. More candidates find more of the
relevant, whoever they are: so beside the mechanisms stand audiences of the same size filled with
random and with the most active members, audiences cut to the size of exact matching, and what the
re-ranker makes of as many random candidates.

Source: paper, section 5.4 (recall by overlap of applied titles).
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from components.audience.config import AudienceConfig, Mechanism
from components.audience.metrics import compare, draw_postings, figures, pairs_matrix
from components.audience.retrieval import Pool

EXACT = "exact match"
EXPANDED: dict[Mechanism, str] = {
    "mean": "exact match + mean",
    "feedback": "exact match + feedback",
}
RERANKED = "re-ranked, thresholded"
AS_MANY, AS_MANY_EXPANDED = "best, as many as exact match", "best, as many as expanded"
BEST = "best"
CHANCE = "re-ranked, random instead of neighbours"
ACTIVE, RANDOM = "exact match + most active", "exact match + random"
SIZES = (0, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)

Orders = dict[str, Callable[[int], NDArray[np.int64]]]


class Scored(NamedTuple):
    """Candidates among the members measured, found by one mechanism, of any similarity.

    Attributes:
        pool: the candidates; `row` is a member's column in the relevance.
        score: of the re-ranker, or the similarity where there is none.
    """

    pool: Pool
    score: NDArray[np.float32]


def measure(
    relevant: sp.csr_matrix,
    candidates: Mapping[Mechanism, Scored],
    actions: NDArray[np.int64],
    config: AudienceConfig,
    *,
    strangers: Scored | None = None,
    threshold: float | None,
    seed: int,
) -> dict[str, list[dict]]:
    """Measure every method on the same postings.

    Args:
        relevant: who then applied, [postings, members measured].
        candidates: of each mechanism.
        actions: of each member measured, in the context, int64 [members measured].
        config: mechanism, neighbours, at_least, reranked_at_least, batch, resamples.
        strangers: candidates of which random members take the neighbours' place.
        threshold: least score that the re-ranker lets pass; None without one.
        seed: of random members and of intervals.

    Returns:
        `rows` and `differences` of `compare`, and `curve`: mechanism, neighbours, per_posting (the
        mean audience) and recall of exact match with so many neighbours (however near), of it with
        as many others, and of as many of the best by score.
    """
    orders: Orders = {
        ACTIVE: lambda posting: np.lexsort((np.arange(len(actions)), -actions)),
        RANDOM: lambda posting: np.random.default_rng([seed, posting]).permutation(len(actions)),
    }
    audiences = _audiences(relevant.shape, candidates, orders, config, threshold)
    if strangers is not None and threshold is not None:
        best = _best(strangers, config, threshold)
        passed = best[strangers.score[best] >= threshold]
        audiences[CHANCE] = _audience(strangers.pool, passed, relevant.shape)
    ours = EXPANDED[config.mechanism]
    against = [(name, EXACT) for name in audiences if name != EXACT]
    against += [(ours, name) for name in (*EXPANDED.values(), ACTIVE, RANDOM) if name != ours]
    against += [(AS_MANY_EXPANDED, ours)]
    against += [(RERANKED, CHANCE)] if CHANCE in audiences else []
    draws = draw_postings(relevant.shape[0], config.resamples, seed=seed)
    rows, differences = compare(audiences, relevant, draws, against=against, batch=config.batch)
    curve = _curve(relevant, candidates, orders, config, threshold)
    return {"rows": rows, "differences": differences, "curve": curve}


def within(pool: Pool, neighbours: int, at_least: float) -> NDArray[np.bool_]:
    """Tell the candidates that exact matching and so many neighbours, so near, give."""
    near = (pool.rank >= 0) & (pool.rank < neighbours) & (pool.similarity >= at_least)
    return pool.exact | near


def _audiences(
    shape: tuple[int, int],
    candidates: Mapping[Mechanism, Scored],
    orders: Orders,
    config: AudienceConfig,
    threshold: float | None,
) -> dict[str, sp.csr_matrix]:
    pool, score = candidates[config.mechanism]
    exact = _audience(pool, pool.exact, shape)
    audiences = {EXACT: exact}
    for mechanism, name in EXPANDED.items():
        found = candidates[mechanism].pool
        audiences[name] = _audience(found, within(found, config.neighbours, config.at_least), shape)
    expanded = audiences[EXPANDED[config.mechanism]]
    more = _sizes(expanded) - _sizes(exact)
    audiences |= {name: _filled(exact, order, more) for name, order in orders.items()}

    best = _best(candidates[config.mechanism], config, threshold)
    audiences[AS_MANY_EXPANDED] = _audience(pool, best[: expanded.nnz], shape)
    by_posting = best[np.argsort(pool.posting[best], kind="stable")]
    posting = pool.posting[by_posting]
    place = np.arange(len(posting)) - np.searchsorted(posting, posting)
    audiences[AS_MANY] = _audience(pool, by_posting[place < _sizes(exact)[posting]], shape)
    if threshold is not None:
        audiences[RERANKED] = _audience(pool, best[score[best] >= threshold], shape)
    return audiences


def _curve(
    relevant: sp.csr_matrix,
    candidates: Mapping[Mechanism, Scored],
    orders: Orders,
    config: AudienceConfig,
    threshold: float | None,
) -> list[dict]:
    pool = candidates[config.mechanism].pool
    best = _best(candidates[config.mechanism], config, threshold)
    exact = _audience(pool, pool.exact, relevant.shape)
    everybody = np.ones((1, relevant.shape[0]), np.int64)
    curve = []
    for size in (size for size in SIZES if size <= config.neighbours):
        audiences: dict[str, sp.csr_matrix] = {
            mechanism: _audience(found.pool, within(found.pool, size, -1.0), relevant.shape)
            for mechanism, found in candidates.items()
        }
        more = _sizes(audiences[config.mechanism]) - _sizes(exact)
        audiences |= {name: _filled(exact, order, more) for name, order in orders.items()}
        as_many = audiences[config.mechanism].nnz
        audiences[BEST] = _audience(pool, best[:as_many], relevant.shape)
        for name, audience in audiences.items():
            recall = figures(audience, relevant, everybody, batch=config.batch).recall[0]
            curve.append(
                {
                    "mechanism": name,
                    "neighbours": size,
                    "per_posting": audience.nnz / relevant.shape[0],
                    "recall": float(recall),
                }
            )
    return curve


def _best(scored: Scored, config: AudienceConfig, threshold: float | None) -> NDArray[np.int64]:
    """Return the numbers of the candidates of all postings, the best first."""
    floor = config.at_least if threshold is None else config.reranked_at_least
    near = np.flatnonzero(within(scored.pool, config.neighbours, floor))
    return near[np.argsort(-scored.score[near], kind="stable")]


def _audience(pool: Pool, wanted: NDArray, shape: tuple[int, int]) -> sp.csr_matrix:
    return pairs_matrix(pool.posting[wanted], pool.row[wanted], shape)


def _sizes(audience: sp.csr_matrix) -> NDArray[np.int64]:
    return np.diff(audience.indptr).astype(np.int64)


def _filled(
    audience: sp.csr_matrix,
    order: Callable[[int], NDArray[np.int64]],
    more: NDArray[np.int64],
) -> sp.csr_matrix:
    """Add to each posting's audience the first `more` members of an order who are not in it."""
    members = []
    for posting, count in enumerate(more):
        own = audience.indices[audience.indptr[posting] : audience.indptr[posting + 1]]
        others = order(posting)
        members.append(np.concatenate([own, others[~np.isin(others, own)][:count]]))
    postings = np.repeat(np.arange(len(members)), [len(chosen) for chosen in members])
    return pairs_matrix(postings, np.concatenate(members), audience.shape)
