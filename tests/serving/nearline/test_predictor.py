"""Trails that grow piece by piece."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.encoder.embed import Embedder
from serving.nearline.errors import NearlineError
from serving.nearline.messages import Action
from serving.nearline.predictor import Predictor
from serving.nearline.snapshot import Snapshot
from serving.nearline.trail import Trail
from tests.serving.nearline.conftest import EMBED, MINUTE, NOON

GAPS = st.lists(
    st.tuples(st.sampled_from([1, 30, 31]), st.booleans(), st.booleans()), min_size=1, max_size=40
)
"""Minutes since the action before, whether it is a search, and whether a piece ends with it."""


@pytest.fixture(scope="module")
def predictors(world):
    every, searches, one_pass = (Predictor.open(world.package) for _ in range(3))
    searches.read_queries_only()
    config = EMBED.model_copy(update={"contexts": "one_pass"})
    one_pass.embedder = Embedder.load(world.package / "encoder", config)
    return {"action": every, "query": searches, "one pass": one_pass}


@pytest.mark.parametrize("kind", ["action", "query", "one pass"])
@settings(max_examples=30, deadline=None)
@given(steps=GAPS)
def test_a_trail_does_not_depend_on_the_pieces_it_came_in(predictors, kind, steps):
    predictor = predictors[kind]
    now, pieces = NOON, [[]]
    for number, (gap, asks, ends) in enumerate(steps):
        now += gap * MINUTE
        text = ("data engineer", None, None) if asks else (None, "firm 1", "ward nurse")
        action = "JOB_SEARCH" if asks else "APPLY"
        pieces[-1].append(Action(number, "ann", now, "search", action, *text, None))
        if ends:
            pieces.append([])
    empty = Trail.empty(predictor.embedder.dimension)
    whole = predictor.extend([empty], [[action for piece in pieces for action in piece]])
    grown = empty
    for piece in filter(None, pieces):
        update = predictor.extend([Trail.load(grown.dump())], [piece])
        assert update.moved == [0]
        grown = update.trails[0]
    assert grown.document.tolist() == whole.trails[0].document.tolist()
    assert grown.past.tolist() == whole.trails[0].past.tolist()
    assert (grown.until, grown.separated) == whole.trails[0][3:]
    np.testing.assert_allclose(update.vectors, whole.vectors, atol=1e-5)


def test_a_snapshot_has_the_trails_of_its_members_and_none_of_others(world, predictor, snapshot):
    known = snapshot.trail("member 05", predictor.embedder)
    assert known.until == max(
        action["ts"]
        for action in world.actions
        if action["member_id"] == "member 05" and action["ts"] <= NOON
    )
    vector = predictor.embedder.embed([known.document])[0]
    np.testing.assert_allclose(vector, world.yesterday.vectors["member 05"], atol=1e-5)
    assert snapshot.trail("nobody", predictor.embedder).until == 0


def test_a_snapshot_of_another_vocabulary_is_refused(world, predictor, monkeypatch):
    monkeypatch.setattr(predictor.embedder.vocabulary, "hash", "another")
    with pytest.raises(NearlineError, match="not of the vocabulary"):
        Snapshot.open(world.yesterday.path, predictor)


def test_a_package_of_another_service_is_refused(world, tmp_path):
    from components.variants.package import write_package

    other = write_package(
        tmp_path / "encoder",
        {"encoder": world.package / "encoder"},
        service="encoder",
        name="finetuned",
        settings={},
        encoder_kind="bert",
    )
    with pytest.raises(NearlineError, match="encoder-finetuned on bert vectors"):
        Predictor.open(other.path)
