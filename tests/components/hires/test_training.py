"""The model of confirmed hires: what it learns from, what it says, and when there is none."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.activity.split import TEST, TRAIN, VALIDATION
from components.features.specification import CONTINUOUS
from components.features.tables import Features, FeatureTables
from components.hires.applications import read_applications
from components.hires.errors import HiresError
from components.hires.model import HireModel
from tests.components.features.feed import DAY, Feed
from tests.components.hires.conftest import SMALL, made, train


@pytest.fixture(scope="module")
def trained(places):
    figures = train(places)
    return figures, HireModel.open(places.hires)


@pytest.fixture
def feed(tmp_path):
    return Feed(tmp_path / "source")


def applications(feed, horizon_days=2.0):
    home = feed.write()
    return read_applications(
        home / "feed", home / "sessions", home / "examples", horizon_days=horizon_days
    )


def ask(model, places, members, item="j1", query=None):
    tables = FeatureTables.open(places.features)
    rows = tables.member_rows(members)
    return model.probability(
        tables.pairs(
            rows,
            np.repeat(tables.posting_rows([item]), len(rows)),
            [query] * len(rows),
            np.full(len(rows), 4 * DAY),
        )
    )


def test_applications_are_those_after_the_cut_that_had_time_to_be_answered(feed):
    apply = [(None, {item: "APPLY"}) for item in ("j1", "j2", "j3", "j1")]
    feed.member("ann", TRAIN, apply[:1], apply[1:])
    feed.answer("ann", "j2", "confirmed_hire", applied=2, answered=3)
    found = applications(feed, horizon_days=1.5)
    assert found.item_ids.to_pylist() == ["j2"]
    assert found.hired.tolist() == [True]
    assert found.outstanding == 2


@pytest.mark.parametrize(
    ("response", "days", "hired"),
    [
        ("confirmed_hire", 1.9, True),
        ("confirmed_hire", 3, False),
        ("interview", 1, False),
        ("rejected", 1, False),
        (None, 1, False),
    ],
)
def test_only_a_hire_confirmed_within_the_horizon_is_one(feed, response, days, hired):
    quiet = [("nurse", {})] * 5
    feed.member("ann", TEST, [("nurse", {})], [(None, {"j1": "APPLY"}), *quiet])
    if response:
        feed.answer("ann", "j1", response, applied=2, answered=2 + days)
    else:
        feed.answer("bob", "j1", "confirmed_hire", applied=2, answered=3)
    found = applications(feed)
    assert (found.hired.tolist(), found.split.tolist()) == ([hired], [TEST])


def test_it_tells_members_who_are_hired_from_others(places, trained):
    figures, model = trained
    assert figures["auc"] > 0.7
    assert figures["log_loss"] < figures["log_loss_of_base_rate"]
    assert figures["auc_low"] < figures["auc"] < figures["auc_high"]
    good, bad = ask(model, places, ["m008", "m009"])
    assert good > 2 * bad


def test_probabilities_are_calibrated(places, trained):
    figures, model = trained
    assert figures["predicted"] == pytest.approx(figures["hired"], abs=0.1)
    probabilities = ask(model, places, [f"m{number:03d}" for number in range(120)])
    assert ((probabilities > 0) & (probabilities < 1)).all()
    tables = json.loads((places.hires / "pch.json").read_text())
    assert tables["hires"] == [figures]
    bins = tables["hires_reliability"]
    assert len(bins) == SMALL.bins
    assert sum(row["count"] for row in bins) == figures["applications"]


def test_a_query_changes_no_probability(places, trained):
    plain = ask(trained[1], places, ["m000", "nobody"])
    np.testing.assert_array_equal(
        plain, ask(trained[1], places, ["m000", "nobody"], query="senior nurse boston")
    )


def test_no_application_has_no_probability(trained):
    nothing = Features(np.zeros((0, len(CONTINUOUS)), np.float32), np.zeros((0, 1), np.int32))
    assert trained[1].probability(nothing).shape == (0,)


def test_the_seed_fixes_the_model(places, trained, tmp_path):
    assert train(places, tmp_path / "again") == trained[0]
    for name in ("trees.txt", "model.json", "pch.json"):
        assert (tmp_path / "again" / name).read_bytes() == (places.hires / name).read_bytes()


def test_a_damaged_model_is_named(places, tmp_path):
    train(places, tmp_path / "hires")
    trees = tmp_path / "hires/trees.txt"
    trees.write_text(trees.read_text()[:-400])
    with pytest.raises(HiresError, match=r"trees\.txt"):
        HireModel.open(tmp_path / "hires")
    (tmp_path / "hires/model.json").unlink()
    with pytest.raises(HiresError, match=r"model\.json"):
        HireModel.open(tmp_path / "hires")


def test_too_few_hires_give_empty_tables_and_the_reason(places, tmp_path):
    config = SMALL.model_copy(update={"minimum_hires": 10_000})
    assert train(places, tmp_path / "hires", config) == {}
    written = json.loads((tmp_path / "hires/pch.json").read_text())
    assert written == {"hires": [], "hires_reliability": []}
    with pytest.raises(HiresError, match="minimum_hires=10000"):
        HireModel.open(tmp_path / "hires")


def test_a_feed_without_answers_gives_an_empty_directory(feed):
    feed.member("ann", VALIDATION, [("nurse", {"j1": "APPLY"})])
    places = made(feed)
    assert train(places) == {}
    assert list(places.hires.iterdir()) == []


def test_a_feed_without_pages_shown_gives_an_empty_directory(feed):
    feed.answer("ann", "j1", "rejected", applied=1, answered=2)
    feed.member("ann", TRAIN, [("nurse", {"j1": "APPLY"})])
    places = made(feed)
    for file in places.features.iterdir():
        file.unlink()
    assert train(places) == {}
    assert list(places.hires.iterdir()) == []


def test_responses_without_a_column_are_named(feed):
    feed.member("ann", TRAIN, [("nurse", {"j1": "APPLY"})])
    feed.answer("ann", "j1", "rejected", applied=1, answered=2)
    places = made(feed)
    file = places.feed / "responses/part-00000.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["response_ts"]), file)
    with pytest.raises(HiresError, match=r"part-00000\.parquet: column response_ts"):
        train(places)
