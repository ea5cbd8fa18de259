"""Candidates: exact matches and the members nearest to them, against all cosines as the truth."""

import numpy as np
import pytest

from components.audience.config import AudienceConfig
from components.audience.retrieval import (
    mean_vectors,
    retrieve,
    retrieve_strangers,
    with_neighbours,
)
from tests.components.audience.conftest import DRIVERS, NURSES, match

WIDE = AudienceConfig(anchors=2, feedback=2, neighbours=12, at_least=-1)


def exact_search(crowd, query, at_least=-1.0):
    """All rows by cosine with a query, and the cosines."""
    cosines = crowd.vectors @ (query / np.linalg.norm(query))
    order = np.argsort(-cosines)
    order = order[cosines[order] >= at_least]
    return order, cosines[order]


@pytest.mark.parametrize("at_least", [-1.0, 0.8])
def test_neighbours_are_those_of_the_mean_of_the_best_anchors(crowd, at_least):
    config = WIDE.model_copy(update={"at_least": at_least, "anchors": 3})
    pool = retrieve(crowd.index, [match(0, 3, 5, 9)], config)
    near = pool.select(pool.rank >= 0)
    rows, cosines = exact_search(crowd, crowd.vectors[[0, 3, 5]].mean(axis=0), at_least)
    assert near.row.tolist() == rows.tolist()
    assert near.rank.tolist() == list(range(len(rows)))
    np.testing.assert_allclose(near.similarity, cosines, atol=1e-6)


def test_feedback_takes_in_the_neighbours_of_every_seed(crowd):
    (joined,) = with_neighbours(crowd.index, [np.array([0, 7])], 2)
    truth = {row for seed in (0, 7) for row in exact_search(crowd, crowd.vectors[seed])[0][:3]}
    assert set(joined) == truth
    config = WIDE.model_copy(update={"mechanism": "feedback"})
    pool = retrieve(crowd.index, [match(0, 7)], config)
    rows, _ = exact_search(crowd, crowd.vectors[sorted(truth)].mean(axis=0))
    assert pool.row.tolist() == rows.tolist()


def test_exact_matches_stay_however_far_they_are(crowd):
    config = WIDE.model_copy(update={"at_least": 0.8})
    pool = retrieve(crowd.index, [match(0, 1, 9)], config)
    far = pool.select(pool.rank < 0)
    assert far.row.tolist() == [9]
    assert far.exact.all()
    expected = crowd.vectors[9] @ crowd.vectors[[0, 1]].mean(axis=0)
    assert far.similarity[0] == pytest.approx(
        expected / np.linalg.norm(crowd.vectors[[0, 1]].mean(axis=0)), abs=1e-6
    )
    assert pool.exact.sum() == 3
    assert pool.anchors.tolist() == [3] * len(pool.row)


def test_nobody_is_a_candidate_twice(crowd):
    pool = retrieve(crowd.index, [match(*NURSES), match(*DRIVERS)], WIDE)
    pairs = list(zip(pool.posting, pool.row, strict=True))
    assert len(set(pairs)) == len(pairs)
    assert pool.posting.tolist() == sorted(pool.posting)


def test_a_posting_without_anchors_has_no_candidates(crowd):
    pool = retrieve(crowd.index, [match(0), match(), match(8)], WIDE)
    assert set(pool.posting) == {0, 2}
    assert not len(retrieve(crowd.index, [match()], WIDE).row)


def test_a_posting_without_anchors_goes_by_the_vector_that_is_given_for_it(crowd):
    given = crowd.vectors[[5, 9]]
    pool = retrieve(crowd.index, [match(0), match()], WIDE, unmatched=given)
    rows, _ = exact_search(crowd, given[1])
    assert pool.row[pool.posting == 1].tolist() == rows.tolist()
    rows, _ = exact_search(crowd, crowd.vectors[0])
    assert pool.row[pool.posting == 0].tolist() == rows.tolist()
    alone = retrieve(crowd.index, [match()], WIDE, unmatched=given[:1])
    assert len(alone.row) == 12
    assert not alone.exact.any()


def test_the_mean_of_nobody_is_zero(crowd):
    assert not mean_vectors(crowd.index, [np.zeros(0, np.int64)]).any()


def test_evidence_goes_with_its_member(crowd):
    one = match(2, 0)._replace(applied=np.array([7, 3], np.int32))
    pool = retrieve(crowd.index, [one], WIDE)
    of = dict(zip(pool.row.tolist(), pool.applied.tolist(), strict=True))
    assert of == {row: {2: 7, 0: 3}.get(row, 0) for row in range(12)}


def test_strangers_are_drawn_by_the_seed_and_ordered_as_neighbours_are(crowd):
    config = WIDE.model_copy(update={"neighbours": 5})
    pool = retrieve_strangers(crowd.index, [match(0, 1), match()], config, seed=4)
    drawn = pool.select(pool.rank >= 0)
    assert len(set(drawn.row.tolist())) == 5
    assert drawn.similarity.tolist() == sorted(drawn.similarity.tolist(), reverse=True)
    assert {0, 1} <= set(pool.row.tolist())
    assert set(pool.posting.tolist()) == {0}
    again = retrieve_strangers(crowd.index, [match(0, 1), match()], config, seed=4)
    np.testing.assert_array_equal(pool.row, again.row)
