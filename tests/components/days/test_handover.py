"""What one run leaves to the next: whole, in order, and never mixed up."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.activity.schema import ACTION_SCHEMA
from components.days.actions import index_is_due, merge_actions, newest_day, renumbered
from components.days.errors import DaysError
from components.days.handover import PARTS, Handover, keep_day, keep_models
from components.days.tomorrow import DAY, write_tomorrow


def write_actions(folder, rows, *, name="part"):
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table(
        {
            "member_id": [member for member, _ in rows],
            "ts": [ts for _, ts in rows],
            "sequence": np.arange(len(rows)),
            "channel": ["search"] * len(rows),
            "action": ["JOB_SEARCH"] * len(rows),
            "query": ["cook"] * len(rows),
            **{name: pa.nulls(len(rows), pa.string()) for name in ("company", "title", "item_id")},
        }
    ).cast(ACTION_SCHEMA)
    pq.write_table(table, folder / f"{name}.parquet")
    return folder


def read(folder):
    return pa.concat_tables([pq.read_table(part) for part in sorted(folder.glob("*.parquet"))])


@pytest.fixture
def handed(tmp_path):
    """Models handed over, with vectors and actions that are told apart by their names."""
    for name in (*PARTS, "vectors", "actions"):
        (tmp_path / "run" / name).mkdir(parents=True)
        (tmp_path / "run" / name / "content").write_text(name)

    def keep(models=tmp_path / "models"):
        return keep_models(
            str(models),
            {name: tmp_path / "run" / name for name in PARTS},
            settings={"seed": 1},
            run="Run of intent-training (1/2)",
            vectors=tmp_path / "run" / "vectors",
            actions=tmp_path / "run" / "actions",
            day="2019-12-31",
        )

    return keep


def next_day(models, tmp_path, day):
    handed = Handover.open(str(models))
    for name in ("vectors", "actions"):
        (tmp_path / day / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / day / name / "content").write_text(f"{name} of {day}")
    return keep_day(
        handed,
        vectors=tmp_path / day / "vectors",
        actions=tmp_path / day / "actions",
        day=day,
        indexed=handed.day.indexed,
    )


def test_what_is_handed_over_is_taken_over_whole(handed, tmp_path):
    version = handed()
    found = Handover.open(str(tmp_path / "models"))
    assert found.version == version
    assert found.settings() == {"seed": 1}
    targets = {name: tmp_path / "taken" / name for name in PARTS}
    found.take(targets, vectors=tmp_path / "taken/vectors", actions=tmp_path / "taken/actions")
    for name in (*PARTS, "vectors", "actions"):
        assert (tmp_path / "taken" / name / "content").read_text() == name


def test_the_next_day_begins_with_what_the_last_one_left_and_old_days_go(handed, tmp_path):
    handed()
    models = tmp_path / "models"
    for number, day in enumerate(("2020-01-01", "2020-01-02", "2020-01-03"), start=1):
        assert next_day(models, tmp_path, day).number == number
    found = Handover.open(str(models))
    assert found.place("vectors").joinpath("content").read_text() == "vectors of 2020-01-03"
    assert sorted(path.name for path in found.place("vectors").parents[1].iterdir()) == ["2", "3"]


def test_of_two_days_at_once_one_is_told(handed, tmp_path):
    handed()
    models = str(tmp_path / "models")
    slow = Handover.open(models)
    next_day(models, tmp_path, "2020-01-01")
    with pytest.raises(DaysError, match="another day was handed over while this one ran"):
        Handover.open(models).as_of(slow.stamp)
    with pytest.raises(DaysError, match="another day was handed over while this one ran"):
        keep_day(
            slow,
            vectors=tmp_path / "run/vectors",
            actions=tmp_path / "run/actions",
            day="2020-01-01",
            indexed="2019-12-31",
        )


def test_the_same_models_are_one_version_and_keep_their_days(handed, tmp_path):
    version = handed()
    next_day(tmp_path / "models", tmp_path, "2020-01-01")
    assert handed() == version
    assert Handover.open(str(tmp_path / "models")).day.number == 1
    (tmp_path / "run" / "slices" / "content").write_text("other")
    assert handed() != version
    assert Handover.open(str(tmp_path / "models")).day.number == 0


def test_nothing_handed_over_is_told(tmp_path):
    with pytest.raises(DaysError, match="no training run has handed over its models here"):
        Handover.open(str(tmp_path))


def test_new_actions_follow_those_known_equal_ones_count_once(tmp_path):
    history, new = tmp_path / "history", tmp_path / "new"
    write_actions(tmp_path / "raw", [("ann", 1), ("bob", 2)], name="a")
    write_actions(tmp_path / "raw", [("cyd", 3)], name="b")
    history.mkdir()
    assert renumbered(tmp_path / "raw", history) == 3
    write_actions(new, [("bob", 2), ("ann", DAY), ("ann", DAY), ("ann", DAY + 1)])
    merged = merge_actions(history, new, tmp_path / "merged", deleted=())
    assert (merged.new, merged.known, merged.day) == (2, 2, "1970-01-02")
    found = read(tmp_path / "merged")
    assert found["ts"].to_pylist() == [1, 2, 3, DAY, DAY + 1]
    assert len(set(found["sequence"].to_pylist())) == 5
    assert len(read(history)) == 3


def test_deleted_members_are_dropped_for_good(tmp_path):
    history = write_actions(tmp_path / "history", [("ann", 1), ("bob", 2)])
    new = write_actions(tmp_path / "new", [("ann", 3), ("cyd", 4)])
    merged = merge_actions(history, new, tmp_path / "merged", deleted={"ann", "zoe"})
    assert merged.deleted == 2
    assert sorted(read(tmp_path / "merged")["member_id"].to_pylist()) == ["bob", "cyd"]


def test_a_day_without_actions_is_a_day_like_the_one_before(tmp_path):
    history = write_actions(tmp_path / "history", [("ann", 1)])
    (tmp_path / "new").mkdir()
    merged = merge_actions(history, tmp_path / "new", tmp_path / "merged", deleted=())
    assert merged == (0, 0, 0, "1970-01-01")


@pytest.mark.parametrize(
    ("day", "due"),
    [("2020-01-01", False), ("2020-01-03", False), ("2020-01-04", True), ("2020-02-01", True)],
)
def test_the_index_is_due_every_third_day_by_the_datas_own_time(day, due):
    assert index_is_due(day, "2020-01-01", 3) is due


def test_tomorrow_some_members_come_back_on_the_day_after_the_last(tmp_path):
    rows = [(f"m{number:03d}", number * DAY // 50) for number in range(100)]
    actions = write_actions(tmp_path / "actions", rows)
    last = newest_day(actions)
    count = write_tomorrow(actions, tmp_path / "day.parquet", seed=1, share=0.1)
    day = pq.read_table(tmp_path / "day.parquet")
    assert len(day) == count == 10
    assert {np.datetime64(ts, "us").astype("datetime64[D]") for ts in day["ts"].to_pylist()} == {
        np.datetime64(last) + 1
    }
    write_tomorrow(actions, tmp_path / "again.parquet", seed=1, share=0.1)
    assert pq.read_table(tmp_path / "again.parquet") == day
