"""Files of actions: what is admitted, what is refused and why, and what stays when it fails."""

import errno
import json
import re
from random import Random
from unittest.mock import Mock

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from components.activity import feed, quarantine, readers
from components.activity.config import JOBS, FilesConfig
from components.activity.engine import open_engine
from components.activity.feed import IngestSummary
from components.activity.schema import ACTION_SCHEMA, QUARANTINE_SCHEMA, ActivityError
from components.activity.sources import ingest_files

NOON = 1_700_000_000_000_000
SEARCH = {
    "member_id": "ann",
    "ts": NOON,
    "channel": "search",
    "action": "JOB_SEARCH",
    "query": "data engineer",
}
APPLY = {
    "member_id": "ann",
    "ts": NOON + 1,
    "channel": "search",
    "action": "APPLY",
    "company": "Acme Inc",
    "title": "Data Engineer",
    "item_id": "j1",
}


def row(base=SEARCH, **changes):
    given = base | changes
    return {name: given[name] for name in readers.COLUMNS if given.get(name) is not None}


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))


def as_table(rows):
    columns = {name: [r.get(name) for r in rows] for name in readers.COLUMNS}
    return pa.table(
        {n: pa.array(v, pa.int64() if n == "ts" else pa.string()) for n, v in columns.items()}
    )


def as_judged(rows):
    nothing = pa.nulls(len(rows), pa.string())
    numbers = pa.array(range(len(rows)), pa.int64())
    table = as_table(rows).append_column("row", numbers)
    return table.append_column("problem", nothing).append_column("raw", nothing)


def write_csv(path, rows):
    pa.csv.write_csv(as_table(rows), path)


def write_parquet(path, rows):
    pq.write_table(as_table(rows), path)


WRITERS = {"jsonl": write_jsonl, "csv": write_csv, "parquet": write_parquet}


def ingest(path, target, *, limit=1.0, vertical=JOBS):
    return ingest_files(FilesConfig(path=str(path)), vertical, target, quarantine_limit=limit)


def actions(folder):
    return pq.read_table(folder / "actions").to_pylist()


def refused(folder):
    return pq.read_table(folder / "quarantine").to_pylist()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"member_id": None}, "missing member_id"),
        ({"member_id": " \t"}, "missing member_id"),
        ({"member_id": {"id": 1}}, "wrong type"),
        ({"member_id": True}, "wrong type"),
        ({"query": ["data", "engineer"]}, "wrong type"),
        ({"ts": None}, "missing ts"),
        ({"ts": "yesterday"}, "unreadable ts"),
        ({"ts": "2023-13-01T00:00:00Z"}, "unreadable ts"),
        ({"ts": NOON // 1_000_000}, "implausible ts"),
        ({"ts": NOON // 1_000}, "implausible ts"),
        ({"ts": NOON * 1_000}, "implausible ts"),
        ({"ts": quarantine.EARLIEST - 1}, "implausible ts"),
        ({"ts": quarantine.LATEST + 1}, "implausible ts"),
        ({"channel": None}, "missing channel"),
        ({"channel": "carrier pigeon"}, "unknown channel"),
        ({"action": None}, "missing action"),
        ({"action": "PONDER"}, "unknown action"),
        ({"action": "job_search"}, "unknown action"),
        ({"query": None}, "missing query"),
        ({"query": "\n "}, "missing query"),
        ({"query": None, "title": "Data Engineer"}, "missing query"),
        ({"action": "VIEW"}, "missing title"),
    ],
)
def test_a_row_that_is_no_action_is_refused_with_its_reason_and_place(tmp_path, changed, reason):
    file = tmp_path / "feed.jsonl"
    write_jsonl(file, [row(APPLY), row(**changed), row()])
    summary = ingest(file, tmp_path / "feed")
    assert (summary.actions, summary.quarantined, summary.reasons) == (2, 1, {reason: 1})
    (bad,) = refused(tmp_path / "feed")
    assert (bad["file"], bad["row"], bad["reason"]) == (str(file), 2, reason)
    assert json.loads(bad["raw"]) == row(**changed)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"member_id": "ann", "ts"', "malformed row"),
        (b"[1, 2]", "malformed row"),
        (b"not json", "malformed row"),
        (b'"text"', "malformed row"),
        (b'{"member_id": "\xff\xfe"}', "invalid UTF-8"),
        (b"{}", "missing member_id"),
    ],
)
def test_a_broken_line_of_json_costs_that_line_only(tmp_path, line, reason):
    good = json.dumps(row()).encode()
    (tmp_path / "feed.jsonl").write_bytes(b"\xef\xbb\xbf" + good + b"\r\n\n" + line + b"\n" + good)
    summary = ingest(tmp_path / "feed.jsonl", tmp_path / "feed")
    assert summary.reasons == {reason: 1, "duplicate": 1}
    assert [(r["row"], r["reason"]) for r in refused(tmp_path / "feed")] == [
        (3, reason),
        (4, "duplicate"),
    ]


def test_a_broken_row_of_csv_costs_that_row_only(tmp_path):
    (tmp_path / "feed.csv").write_bytes(
        b"ts,member_id,action,channel,query,campaign\n"
        b'2023-11-14T22:13:20Z,ann,JOB_SEARCH,search,"data, and\nmore",x\n'
        b"2023-11-14T22:13:21Z,ann,JOB_SEARCH,search\n"
        b"\n"
        b"2023-11-14T22:13:22Z,bob,JOB_SEARCH,search,\xff\xfe,x\n"
        b"2023-11-14T22:13:23Z,bob,JOB_SEARCH,search,a,b,c\n"
        b"2023-11-14T22:13:24Z,cem,JOB_SEARCH,search,,x\n"
        b"2023-11-14T22:13:25Z,dan,JOB_SEARCH,search,nurse,x\n"
    )
    ingest(tmp_path / "feed.csv", tmp_path / "feed")
    kept = actions(tmp_path / "feed")
    assert [(r["member_id"], r["query"], r["ts"] - NOON) for r in kept] == [
        ("ann", "data, and\nmore", 0),
        ("dan", "nurse", 5_000_000),
    ]
    found = sorted((r["row"], r["reason"]) for r in refused(tmp_path / "feed"))
    # A row is a record: the header is the first, and a line break inside quotes starts no other.
    assert found == [
        (3, "malformed row"),
        (5, "invalid UTF-8"),
        (6, "malformed row"),
        (7, "missing query"),
    ]


@pytest.mark.parametrize("written", ["jsonl", "csv"])
@pytest.mark.parametrize(
    ("ts", "expected"),
    [
        (str(NOON), NOON),
        ("2023-11-14T22:13:20Z", NOON),
        ("2023-11-14 22:13:20", NOON),
        ("2023-11-15T00:13:20.000007+02:00", NOON + 7),
        ("2023-11-14", NOON - 80_000_000_000),
    ],
    ids=["microseconds", "utc", "no zone means utc", "offset and fraction", "day"],
)
def test_times_as_text_become_microseconds_utc(tmp_path, written, ts, expected):
    file = tmp_path / f"feed.{written}"
    names = ("member_id", "ts", "channel", "action", "query")
    values = ("ann", ts, "search", "JOB_SEARCH", "nurse")
    if written == "csv":
        file.write_text(",".join(names) + "\n" + ",".join(values) + "\n")
    else:
        write_jsonl(file, [dict(zip(names, values, strict=True))])
    ingest(file, tmp_path / "feed")
    assert [r["ts"] for r in actions(tmp_path / "feed")] == [expected]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([NOON], pa.int64()),
        pa.array([NOON], pa.uint64()),
        pa.array([NOON], pa.timestamp("us", "UTC")),
        pa.array([NOON * 1000 + 999], pa.timestamp("ns")),
        pa.array([NOON // 1_000_000], pa.timestamp("s", "Asia/Tokyo")),
        pa.array(["2023-11-14T22:13:20Z"]).dictionary_encode(),
    ],
    ids=lambda column: str(column.type),
)
def test_times_in_parquet_become_microseconds_utc(tmp_path, column):
    table = as_table([row()])
    pq.write_table(table.set_column(1, "ts", column), tmp_path / "feed.parquet")
    ingest(tmp_path / "feed.parquet", tmp_path / "feed")
    assert [r["ts"] for r in actions(tmp_path / "feed")] == [NOON]


def random_rows(count, seed=5):
    draw = Random(seed)
    texts = [
        None,
        None,
        "",
        " ",
        "\t\n",
        "nurse",
        " nurse",
        "護士",
        "x" * 2_001,
        "{",
        "[1]",
        "true",
        "é",
    ]
    choices = {
        "member_id": ["ann", "ann", "bob", "", " ", "王芳", None],
        "ts": [NOON, NOON + 1, NOON - 1, None, 7],
        "channel": ["search", "search", "alert", "sea", "", None],
        "action": ["JOB_SEARCH", "APPLY", "VIEW", "NOTHING", "", None],
        "query": texts,
        "company": texts,
        "title": texts,
        "item_id": texts,
    }
    return [{name: draw.choice(values) for name, values in choices.items()} for _ in range(count)]


def test_the_same_rows_give_the_same_feed_in_every_format(tmp_path):
    feeds = {}
    for name, write in WRITERS.items():
        write(tmp_path / f"in.{name}", random_rows(3_000))
        ingest(tmp_path / f"in.{name}", tmp_path / name)
        reasons = [(r["row"] - (name == "csv"), r["reason"]) for r in refused(tmp_path / name)]
        feeds[name] = (actions(tmp_path / name), reasons)
    assert len(feeds["csv"][0]) > 50
    assert feeds["csv"] == feeds["parquet"] == feeds["jsonl"]


def test_rows_waved_through_would_have_passed_the_full_rules_unchanged():
    rows = as_judged(random_rows(3_000))
    judge = quarantine.Judge(JOBS, open_engine(keep_order=True))
    quick = judge.judge(rows, file="x", offset=0)
    judge._plain = "SELECT false AS plain FROM block"
    full = judge.judge(rows, file="x", offset=0)
    assert quick == full


def test_rows_in_many_pieces_are_refused_in_the_order_in_which_they_came():
    # On several threads DuckDB hands back the pieces of an Arrow table as they are done.
    rows = as_judged([row(channel="nowhere", query=f"query {i}") for i in range(20_000)])
    pieces = pa.Table.from_batches(rows.to_batches(max_chunksize=1_000))
    judge = quarantine.Judge(JOBS, open_engine(keep_order=True))
    refused = judge.judge(pieces, file="x", offset=0).refused
    assert refused["row"].to_pylist() == list(range(20_000))


def test_row_numbers_and_order_survive_block_boundaries(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "BLOCK_BYTES", 1 << 15)
    monkeypatch.setattr(readers, "BLOCK_ROWS", 300)
    rows = [row(ts=NOON + i) for i in range(1, 1001)]
    for i in range(9, 1000, 10):
        rows[i] = row(member_id=None)
    for name, write in WRITERS.items():
        file = tmp_path / f"in.{name}"
        write(file, rows)
        if name == "csv":
            file.write_text(re.sub(r"(?m)^.{0,2},.*$", "ragged", file.read_text()))
        summary = ingest(file, tmp_path / name)
        numbers = [r["row"] - (name == "csv") for r in refused(tmp_path / name)]
        assert numbers == list(range(10, 1001, 10)), name
        assert [r["ts"] - NOON for r in actions(tmp_path / name)] == [
            i for i in range(1, 1001) if i % 10
        ]
        assert summary.out_of_order == 0


def test_an_action_keeps_only_the_texts_of_its_kind(tmp_path):
    write_jsonl(
        tmp_path / "in.jsonl",
        [row(company="Acme", title="Nurse"), row(APPLY, query="nurse"), row(APPLY, company=" ")],
    )
    ingest(tmp_path / "in.jsonl", tmp_path / "feed")
    texts = [(r["query"], r["company"], r["title"]) for r in actions(tmp_path / "feed")]
    assert texts == [
        ("data engineer", None, None),
        (None, "Acme Inc", "Data Engineer"),
        (None, None, "Data Engineer"),
    ]


@pytest.mark.parametrize("written", WRITERS)
@pytest.mark.parametrize("text", ["数据工程师", "مهندس بيانات", "डेटा इंजीनियर", "👩🏽‍💻", "a\u0301"])
def test_texts_in_any_script_pass_unchanged(tmp_path, written, text):
    WRITERS[written](tmp_path / f"in.{written}", [row(query=text)])
    ingest(tmp_path / f"in.{written}", tmp_path / "feed")
    assert [r["query"] for r in actions(tmp_path / "feed")] == [text]


@pytest.mark.parametrize("written", WRITERS)
def test_a_query_of_100_000_characters_is_an_action_with_its_first_2_000(tmp_path, written):
    WRITERS[written](tmp_path / f"in.{written}", [row(), row(query="護士 x" * 25_000)])
    summary = ingest(tmp_path / f"in.{written}", tmp_path / "feed")
    assert (summary.actions, summary.shortened) == (2, 1)
    assert actions(tmp_path / "feed")[1]["query"] == ("護士 x" * 25_000)[:2_000]


def test_equal_rows_are_admitted_once_wherever_they_are(tmp_path):
    (tmp_path / "in").mkdir()
    write_csv(tmp_path / "in" / "hour-1.csv", [row(), row(APPLY), row()])
    write_jsonl(tmp_path / "in" / "hour-2.jsonl", [row(APPLY, item_id="j2"), row(APPLY)])
    summary = ingest(tmp_path / "in", tmp_path / "feed", limit=0)
    assert (summary.actions, summary.duplicates, summary.quarantined) == (3, 2, 0)
    assert [r["item_id"] for r in actions(tmp_path / "feed")] == [None, "j1", "j2"]
    places = [
        (r["file"].rsplit("/")[-1], r["row"], r["reason"]) for r in refused(tmp_path / "feed")
    ]
    assert places == [("hour-1.csv", 4, "duplicate"), ("hour-2.jsonl", 2, "duplicate")]


def test_duplicates_are_dropped_from_the_part_that_holds_them(tmp_path, monkeypatch):
    monkeypatch.setattr(feed, "ROWS_PER_PART", 2)
    monkeypatch.setattr(readers, "BLOCK_ROWS", 2)
    write_parquet(tmp_path / "in.parquet", [row(ts=NOON + i) for i in (0, 1, 2, 3, 1, 5)])
    ingest(tmp_path / "in.parquet", tmp_path / "feed")
    parts = sorted((tmp_path / "feed" / "actions").iterdir())
    assert [pq.read_table(p)["ts"].to_numpy().tolist() for p in parts] == [
        [NOON, NOON + 1],
        [NOON + 2, NOON + 3],
        [NOON + 5],
    ]


def test_rows_out_of_order_are_admitted_and_counted(tmp_path):
    write_jsonl(tmp_path / "in.jsonl", [row(ts=NOON + i) for i in (5, 3, 4, 1, 1, 9)])
    summary = ingest(tmp_path / "in.jsonl", tmp_path / "feed")
    assert (summary.actions, summary.duplicates, summary.out_of_order) == (5, 1, 2)


def test_the_feed_has_the_declared_columns_and_a_summary(tmp_path):
    write_jsonl(tmp_path / "in.jsonl", [row(), row(APPLY), row(action="X")])
    summary = ingest(tmp_path / "in.jsonl", tmp_path / "feed")
    assert pq.read_schema(tmp_path / "feed" / "actions" / "part-00000.parquet") == ACTION_SCHEMA
    quarantined = tmp_path / "feed" / "quarantine" / "part-00000.parquet"
    assert pq.read_schema(quarantined) == QUARANTINE_SCHEMA
    assert IngestSummary.load(tmp_path / "feed") == summary
    assert (summary.first_ts, summary.last_ts) == (NOON, NOON + 1)
    assert sorted(p.name for p in (tmp_path / "feed").iterdir()) == [
        "actions",
        "ingest.json",
        "quarantine",
    ]


@pytest.mark.parametrize(("limit", "accepted"), [(0.25, True), (0.2499, False)])
def test_the_run_fails_only_past_the_limit(tmp_path, limit, accepted):
    file = tmp_path / "in.jsonl"
    write_jsonl(file, [row(ts=NOON + i) for i in range(6)] + [row(action="PONDER"), row(ts=None)])
    if accepted:
        assert ingest(file, tmp_path / "feed", limit=limit).quarantined == 2
    else:
        with pytest.raises(ActivityError) as failure:
            ingest(file, tmp_path / "feed", limit=limit)
        assert "2 of 8 rows" in str(failure.value)
        assert "24.99%" in str(failure.value)


def test_the_failure_names_the_worst_reason_and_a_row_to_look_at(tmp_path):
    file = tmp_path / "in.jsonl"
    write_jsonl(file, [row(ts=None), row(), row(action="PONDER"), row(action="MUSE")])
    with pytest.raises(ActivityError, match="unknown action, first at .*in.jsonl:3: .*PONDER"):
        ingest(file, tmp_path / "feed", limit=0.5)


@pytest.mark.parametrize("cause", ["too many bad rows", "full disk", "interrupted"])
def test_a_failed_ingest_leaves_the_previous_feed_and_nothing_else(tmp_path, monkeypatch, cause):
    write_jsonl(tmp_path / "in.jsonl", [row()])
    before = ingest(tmp_path / "in.jsonl", tmp_path / "feed")
    failure = {
        "too many bad rows": ActivityError,
        "full disk": OSError(errno.ENOSPC, "No space left on device"),
        "interrupted": KeyboardInterrupt(),
    }[cause]
    if cause == "too many bad rows":
        write_jsonl(tmp_path / "in.jsonl", [row(), row(action="X")])
    else:
        write_jsonl(tmp_path / "in.jsonl", [row(APPLY)])
        monkeypatch.setattr(feed.PartWriter, "write", Mock(side_effect=failure))
    with pytest.raises(failure if cause == "too many bad rows" else type(failure)):
        ingest(tmp_path / "in.jsonl", tmp_path / "feed", limit=0.01)
    assert IngestSummary.load(tmp_path / "feed") == before
    assert actions(tmp_path / "feed")[0]["action"] == "JOB_SEARCH"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["feed", "in.jsonl"]


@pytest.mark.parametrize("written", WRITERS)
def test_an_empty_file_among_others_is_passed_over(tmp_path, written):
    (tmp_path / f"a.{written}").touch()
    write_jsonl(tmp_path / "b.jsonl", [row()])
    assert ingest(tmp_path, tmp_path / "feed").actions == 1


@pytest.mark.parametrize("written", WRITERS)
@pytest.mark.parametrize("content", ["no byte", "no row"])
def test_no_action_at_all_is_an_error_naming_the_file(tmp_path, written, content):
    file = tmp_path / f"in.{written}"
    file.touch() if content == "no byte" else WRITERS[written](file, [])
    with pytest.raises(ActivityError, match=f"no actions.*in.{written}"):
        ingest(file, tmp_path / "feed")


def test_only_bad_rows_is_an_error_even_without_a_limit(tmp_path):
    write_jsonl(tmp_path / "in.jsonl", [row(action="X")])
    with pytest.raises(ActivityError, match="1 of 1 rows cannot be used; .*unknown action"):
        ingest(tmp_path / "in.jsonl", tmp_path / "feed", limit=1.0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.parquet", b"PAR1 but not really PAR1", "in.parquet: cannot be read as parquet"),
        ("in.csv", b"member_id,ts,action\nann,1,VIEW\n", "in.csv: no column channel"),
        ("in.csv.gz", b"not packed", "in.csv.gz: cannot be read as csv"),
        ("in.csv", b'member_id,ts,channel,action\n"ann', "in.csv"),
        ("in.txt", b"?", "no files of actions .1 files, none of them .parquet"),
    ],
)
def test_an_unreadable_file_is_an_error_naming_it(tmp_path, name, content, message):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(content)
    with pytest.raises(ActivityError, match=message):
        ingest(tmp_path / "in", tmp_path / "feed")


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("ts", pa.array([1.7e15]), "column ts is double"),
        ("query", pa.array([["a"]]), "column query is list"),
        ("member_id", pa.array([1.0]), "column member_id is double, where text"),
    ],
)
def test_a_parquet_column_of_the_wrong_type_is_an_error_naming_it(
    tmp_path, column, values, message
):
    table = as_table([row()])
    table = table.set_column(table.schema.get_field_index(column), column, values)
    pq.write_table(table, tmp_path / "in.parquet")
    with pytest.raises(ActivityError, match=f"in.parquet: {message}"):
        ingest(tmp_path / "in.parquet", tmp_path / "feed")


def test_numbers_serve_as_ids(tmp_path):
    table = as_table([row()]).set_column(0, "member_id", pa.array([42], pa.int32()))
    pq.write_table(table, tmp_path / "in.parquet")
    write_jsonl(tmp_path / "in.jsonl", [row(member_id=42)])
    for name in ("in.parquet", "in.jsonl"):
        ingest(tmp_path / name, tmp_path / "feed")
        assert actions(tmp_path / "feed")[0]["member_id"] == "42"
