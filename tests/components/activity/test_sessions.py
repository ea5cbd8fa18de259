"""Sessions: what counts as one visit, and how all visits are written."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.activity import local, sessions
from components.activity.config import ActivityConfig
from components.activity.schema import ACTION_SCHEMA, SESSION_SCHEMA, ActivityError
from components.activity.sessions import (
    iterate_members,
    session_parts,
    sessionise,
    write_sessions,
)

MINUTE = 60_000_000
ORDER = [("member_id", "ascending"), ("ts", "ascending"), ("sequence", "ascending")]


def action_table(rows):
    """Actions from (member, minute) or (member, minute, query)."""
    return pa.table(
        {
            "member_id": pa.array([row[0] for row in rows], pa.string()),
            "ts": pa.array([int(row[1] * MINUTE) for row in rows], pa.int64()),
            "sequence": pa.array(range(len(rows)), pa.int64()),
            "channel": pa.array(["search"] * len(rows)),
            "action": pa.array(["JOB_SEARCH"] * len(rows)),
            "query": pa.array([row[2] if len(row) > 2 else "nurse" for row in rows], pa.string()),
            "company": pa.nulls(len(rows), pa.string()),
            "title": pa.nulls(len(rows), pa.string()),
            "item_id": pa.nulls(len(rows), pa.string()),
        },
        schema=ACTION_SCHEMA,
    )


def many_actions(rows=20_000, members=300, seed=1):
    """Many ties, actions at exactly the idle limit, nulls, ids in several scripts, shuffled."""
    random = np.random.default_rng(seed)
    number = (members * random.random(rows) ** 3).astype(int)
    names = np.array([f"{'mñ工'[n % 3]}{n}" for n in range(members)])
    texts = np.array([f"text {n}" for n in range(50)])
    searched = random.random(rows) < 0.3
    return pa.table(
        {
            "member_id": names[number],
            "ts": random.integers(0, 400, rows) * 15 * MINUTE,
            "sequence": random.permutation(rows),
            "channel": random.choice(["search", "alert"], rows),
            "action": np.where(searched, "JOB_SEARCH", "VIEW"),
            "query": pa.array(random.choice(texts, rows), mask=~searched),
            "company": pa.array(random.choice(texts, rows), mask=searched),
            "title": pa.array(random.choice(texts, rows), mask=searched),
            "item_id": pa.array(np.char.add("j", random.integers(0, 900, rows).astype(str))),
        },
        schema=ACTION_SCHEMA,
    )


def expected_sessions(actions, idle_minutes=30):
    """The sessions by the plainest possible loop."""
    rows = sorted(actions.to_pylist(), key=lambda row: [row[name] for name, _ in ORDER])
    before = None
    for row in rows:
        same = before is not None and before["member_id"] == row["member_id"]
        if not same:
            row["session"] = 1
        elif row["ts"] - before["ts"] > idle_minutes * MINUTE:
            row["session"] = before["session"] + 1
        else:
            row["session"] = before["session"]
        before = row
    return rows


def write_feed(folder, actions, files=3):
    folder.mkdir()
    for number, rows in enumerate(np.array_split(np.arange(len(actions)), files)):
        pq.write_table(actions.take(rows), folder / f"part-{number:05d}.parquet")
    return folder


def read_parts(folder):
    return [pq.read_table(part) for part in session_parts(folder)]


def session_numbers(*actions):
    import ibis

    table = ibis.memtable(action_table(actions))
    numbered = sessionise(table, idle_minutes=30).order_by(["member_id", "ts", "sequence"])
    return numbered.session.to_pyarrow().to_pylist()


class TestOneVisit:
    @pytest.mark.parametrize(
        ("pause", "expected"),
        [(0, [1, 1]), (30, [1, 1]), (30 + 1 / MINUTE, [1, 2])],
        ids=["same instant", "exactly the limit", "one microsecond more"],
    )
    def test_a_pause_longer_than_the_limit_opens_a_session(self, pause, expected):
        assert session_numbers(("ann", 0), ("ann", pause)) == expected

    def test_members_do_not_share_sessions(self):
        assert session_numbers(("ann", 0), ("bob", 1 / MINUTE)) == [1, 1]

    def test_the_pause_counts_not_the_length_of_the_visit(self):
        assert session_numbers(("ann", 0), ("ann", 30), ("ann", 60), ("ann", 91)) == [1, 1, 1, 2]

    def test_order_of_arrival_does_not_matter(self):
        assert session_numbers(("ann", 100), ("ann", 0), ("ann", 20)) == [1, 1, 2]

    def test_times_before_1970_count_like_others(self):
        assert session_numbers(("ann", -50), ("ann", -10), ("ann", 10)) == [1, 2, 2]


class TestWrittenSessions:
    @pytest.fixture(scope="class")
    def actions(self):
        return many_actions()

    @pytest.fixture(scope="class")
    def written(self, actions, tmp_path_factory):
        root = tmp_path_factory.mktemp("sessions")
        feed = write_feed(root / "actions", actions)
        summary = write_sessions(feed, root / "sessions", ActivityConfig(partitions=5))
        return root / "sessions", summary

    def test_every_action_is_written_once_with_the_session_a_plain_loop_gives_it(
        self, actions, written
    ):
        rows = pa.concat_tables(read_parts(written[0])).sort_by(ORDER).to_pylist()
        expected = expected_sessions(actions)
        assert rows == sorted(expected, key=lambda row: [row[name] for name, _ in ORDER])

    def test_a_part_is_sorted_by_member_time_and_sequence(self, written):
        for part in read_parts(written[0]):
            assert part.equals(part.sort_by(ORDER))

    def test_a_member_lives_in_exactly_one_part(self, written):
        members = [set(part["member_id"].to_pylist()) for part in read_parts(written[0])]
        assert len(members) == 5
        assert sum(map(len, members)) == len(set().union(*members))

    def test_members_are_spread_evenly(self, written):
        members = [pc.count_distinct(part["member_id"]).as_py() for part in read_parts(written[0])]
        assert min(members) > 30
        assert max(members) < 90

    def test_the_columns_are_those_of_the_schema(self, written):
        for part in read_parts(written[0]):
            assert part.schema.equals(SESSION_SCHEMA)

    def test_the_summary_counts_what_was_written(self, actions, written):
        folder, summary = written
        rows = expected_sessions(actions)
        assert summary == {
            "actions": len(rows),
            "sessions": len({(row["member_id"], row["session"]) for row in rows}),
            "members": len({row["member_id"] for row in rows}),
            "parts": 5,
        }
        assert json.loads((folder / "sessions.json").read_text()) == summary

    def test_nothing_else_is_left(self, written):
        names = sorted(path.name for path in written[0].iterdir())
        assert names == [*(f"part-{part:05d}.parquet" for part in range(5)), "sessions.json"]

    def test_the_order_of_the_rows_and_the_number_of_files_do_not_matter(
        self, actions, written, tmp_path
    ):
        shuffled = actions.take(np.random.default_rng(2).permutation(len(actions)))
        feed = write_feed(tmp_path / "actions", shuffled, files=7)
        write_sessions(feed, tmp_path / "sessions", ActivityConfig(partitions=5))
        for ours, theirs in zip(
            read_parts(tmp_path / "sessions"), read_parts(written[0]), strict=True
        ):
            assert ours.equals(theirs)

    @pytest.mark.parametrize("idle_minutes", [15, 60])
    def test_the_idle_limit_is_configurable(self, actions, tmp_path, idle_minutes):
        feed = write_feed(tmp_path / "actions", actions)
        config = ActivityConfig(idle_minutes=idle_minutes, partitions=1)
        write_sessions(feed, tmp_path / "sessions", config)
        assert read_parts(tmp_path / "sessions")[0].to_pylist() == expected_sessions(
            actions, idle_minutes
        )

    def test_spark_writes_the_same_rows_to_the_same_parts(self, actions, written, tmp_path):
        pytest.importorskip("pyspark", reason="the Spark engine needs pyspark")
        if not shutil.which("java"):
            pytest.skip("the Spark engine needs Java, which is not on the path")
        feed = write_feed(tmp_path / "actions", actions)
        summary = write_sessions(
            feed, tmp_path / "sessions", ActivityConfig(partitions=5, engine="spark")
        )
        assert summary == written[1]
        assert [path.name for path in sorted((tmp_path / "sessions").iterdir())] == [
            path.name for path in sorted(written[0].iterdir())
        ]
        for spark, duckdb in zip(
            read_parts(tmp_path / "sessions"), read_parts(written[0]), strict=True
        ):
            assert spark.cast(SESSION_SCHEMA).equals(duckdb)


class TestWhateverComes:
    """Feeds that other tools wrote, and feeds of unusual shape."""

    def write(self, tmp_path, *tables, **options):
        (tmp_path / "actions").mkdir()
        for number, table in enumerate(tables):
            pq.write_table(table, tmp_path / "actions" / f"{number}.parquet")
        config = ActivityConfig(partitions=1, **options)
        write_sessions(tmp_path / "actions", tmp_path / "sessions", config)
        return read_parts(tmp_path / "sessions")[0]

    def test_one_action_is_one_session(self, tmp_path):
        assert self.write(tmp_path, action_table([("ann", 0)]))["session"].to_pylist() == [1]

    def test_no_action_is_no_session(self, tmp_path):
        assert len(self.write(tmp_path, action_table([]))) == 0

    def test_a_single_file_will_do(self, tmp_path):
        pq.write_table(action_table([("ann", 0)]), tmp_path / "actions.parquet")
        summary = write_sessions(tmp_path / "actions.parquet", tmp_path / "s", ActivityConfig())
        assert summary == {"actions": 1, "sessions": 1, "members": 1, "parts": 8}

    def test_long_texts_survive(self, tmp_path):
        long = "工" * 100_000
        actions = action_table([("ann", 0, long), ("ann", 1, "short")])
        assert self.write(tmp_path, actions)["query"].to_pylist() == [long, "short"]

    @pytest.mark.parametrize(
        "kind",
        [pa.large_string(), pa.dictionary(pa.int16(), pa.large_string()), pa.string_view()],
        ids=str,
    )
    def test_texts_of_any_string_type_are_read(self, tmp_path, kind):
        actions = action_table([("ann", 0, "nurse"), ("bob", 1, None), ("ann", 90, "cook")])
        columns = {
            name: actions[name].cast(kind) if actions[name].type == pa.string() else actions[name]
            for name in actions.column_names
        }
        written = self.write(tmp_path, pa.table(columns))
        assert written["query"].to_pylist() == ["nurse", "cook", None]
        assert written.schema.equals(SESSION_SCHEMA)

    def test_a_column_without_a_single_value_may_have_no_type(self, tmp_path):
        actions = action_table([("ann", 0)])
        actions = actions.set_column(7, "title", pa.nulls(1))
        assert self.write(tmp_path, actions)["title"].to_pylist() == [None]

    def test_columns_may_come_in_any_order_and_with_others(self, tmp_path):
        actions = action_table([("ann", 0, "nurse")])
        actions = actions.select(actions.column_names[::-1]).append_column("device", pa.array([7]))
        assert self.write(tmp_path, actions)["query"].to_pylist() == ["nurse"]

    def test_batches_groups_and_memory_do_not_change_the_sessions(self, tmp_path, monkeypatch):
        actions = many_actions()
        monkeypatch.setattr(local, "ROWS_PER_BATCH", 1_000)
        monkeypatch.setattr(local, "ROWS_PER_GROUP", 700)
        written = self.write(tmp_path, actions.slice(0, 9_000), actions.slice(9_000))
        assert written.to_pylist() == expected_sessions(actions)

    def test_parts_that_would_not_fit_the_memory_are_made_smaller(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sessions, "ROWS_PER_GIGABYTE", 8_000)
        feed = write_feed(tmp_path / "actions", many_actions())
        config = ActivityConfig(partitions=2, memory_limit_gb=0.5)
        assert write_sessions(feed, tmp_path / "sessions", config)["parts"] == 5
        assert len(session_parts(tmp_path / "sessions")) == 5


class TestBadInput:
    def refusal(self, actions, target):
        with pytest.raises(ActivityError) as refused:
            write_sessions(actions, target, ActivityConfig())
        assert not target.exists()
        return str(refused.value)

    def test_a_folder_without_parquet_is_refused(self, tmp_path):
        assert self.refusal(tmp_path, tmp_path / "s") == f"{tmp_path}: holds no Parquet file"

    def test_a_folder_that_does_not_exist_is_refused(self, tmp_path):
        message = self.refusal(tmp_path / "none", tmp_path / "s")
        assert message == f"{tmp_path / 'none'}: holds no Parquet file"

    def test_a_missing_column_is_named_with_its_file(self, tmp_path):
        feed = write_feed(tmp_path / "actions", action_table([("ann", 0)]), files=1)
        pq.write_table(action_table([("bob", 0)]).drop_columns("ts"), feed / "other.parquet")
        message = self.refusal(feed, tmp_path / "s")
        assert message == f"{feed / 'other.parquet'}: column ts is missing"

    @pytest.mark.parametrize(
        ("name", "kind", "complaint"),
        [
            ("ts", pa.timestamp("us"), "is timestamp[us], it has to be int64"),
            ("sequence", pa.int32(), "is int32, it has to be int64"),
            ("member_id", pa.binary(), "is binary, it has to be string"),
        ],
    )
    def test_a_wrong_type_is_named_with_its_column(self, tmp_path, name, kind, complaint):
        actions = action_table([("ann", 0)])
        actions = actions.set_column(
            actions.column_names.index(name), name, actions[name].cast(kind)
        )
        pq.write_table(actions, tmp_path / "a.parquet")
        message = self.refusal(tmp_path, tmp_path / "s")
        assert message == f"{tmp_path / 'a.parquet'}: column {name} {complaint}"

    @pytest.mark.parametrize("name", ["member_id", "ts", "action"])
    def test_a_missing_value_is_named_with_its_column(self, tmp_path, name):
        actions = action_table([("ann", 0), ("bob", 1)])
        place = actions.column_names.index(name)
        broken = pc.if_else(pa.array([True, False]), actions[name], None)
        pq.write_table(actions.set_column(place, name, broken), tmp_path / "a.parquet")
        message = self.refusal(tmp_path, tmp_path / "s")
        assert message == f"{tmp_path / 'a.parquet'}: column {name} has rows without a value"

    @pytest.mark.parametrize("content", [b"", b"member_id,ts\n", b"PAR1" + b"x" * 99 + b"PAR1"])
    def test_a_file_that_is_no_parquet_is_named(self, tmp_path, content):
        (tmp_path / "a.parquet").write_bytes(content)
        message = self.refusal(tmp_path, tmp_path / "s")
        assert message.startswith(f"{tmp_path / 'a.parquet'}: cannot be read as Parquet: ")

    def test_a_file_damaged_inside_is_named(self, tmp_path):
        file = write_feed(tmp_path / "actions", many_actions(), files=1) / "part-00000.parquet"
        content = bytearray(file.read_bytes())
        content[100:60_000] = bytes(59_900)
        file.write_bytes(content)
        message = self.refusal(tmp_path / "actions", tmp_path / "s")
        assert message.startswith(f"{file}: cannot be read as Parquet: ")

    @pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError(28, "No space left")])
    def test_an_interrupted_run_leaves_the_previous_sessions(
        self, tmp_path, monkeypatch, interruption
    ):
        feed = write_feed(tmp_path / "actions", many_actions(rows=500))
        target = tmp_path / "sessions"
        write_sessions(feed, target, ActivityConfig(partitions=2))
        before = {path.name: path.read_bytes() for path in target.iterdir()}
        write = local._write

        def interrupted(table, target, part):
            write(table, target, part)
            raise interruption

        monkeypatch.setattr(local, "_write", interrupted)
        with pytest.raises((KeyboardInterrupt, OSError)):
            write_sessions(feed, target, ActivityConfig(partitions=3))
        assert {path.name: path.read_bytes() for path in target.iterdir()} == before
        assert sorted(path.name for path in tmp_path.iterdir()) == ["actions", "sessions"]


class TestReading:
    @pytest.fixture(scope="class")
    def written(self, tmp_path_factory):
        root = tmp_path_factory.mktemp("reading")
        write_sessions(
            write_feed(root / "actions", many_actions(rows=3_000)),
            root / "s",
            ActivityConfig(partitions=3),
        )
        return root / "s"

    @pytest.mark.parametrize("rows_per_batch", [1, 7, 500, 1 << 20])
    def test_batches_hold_all_rows_in_order_and_no_member_twice(
        self, written, monkeypatch, rows_per_batch
    ):
        monkeypatch.setattr(sessions, "ROWS_PER_BATCH", rows_per_batch)
        batches = list(iterate_members(written))
        everything = pa.concat_tables(read_parts(written))
        assert pa.Table.from_batches(batches).equals(everything)
        assert all(len(batch) for batch in batches)
        members = [set(batch["member_id"].to_pylist()) for batch in batches]
        assert sum(map(len, members)) == len(set().union(*members))

    def test_batches_are_not_much_longer_than_asked(self, written, monkeypatch):
        monkeypatch.setattr(sessions, "ROWS_PER_BATCH", 100)
        members = pa.concat_tables(read_parts(written))["member_id"]
        longest = pc.max(pc.value_counts(members).field("counts")).as_py()
        assert max(map(len, iterate_members(written))) < 100 + longest

    def test_columns_can_be_chosen(self, written):
        batch = next(iterate_members(written, columns=["session", "ts"]))
        assert batch.schema.names == ["member_id", "session", "ts"]

    def test_a_single_part_can_be_read(self, written):
        part = session_parts(written)[1]
        assert pa.Table.from_batches(iterate_members(part)).equals(pq.read_table(part))

    def test_a_folder_without_sessions_is_refused(self, tmp_path):
        with pytest.raises(ActivityError, match="holds no Parquet file"):
            next(iterate_members(tmp_path))

    def test_actions_without_sessions_are_refused(self, tmp_path):
        pq.write_table(action_table([("ann", 0)]), tmp_path / "a.parquet")
        with pytest.raises(ActivityError, match=r"a\.parquet: column session is missing"):
            next(iterate_members(tmp_path))
