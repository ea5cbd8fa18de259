"""Exposures survive their way from a log line to Parquet, and a bad line costs only itself."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.experiments.errors import ExperimentsError
from components.experiments.exposures import (
    EXPOSURE_SCHEMA,
    OUTCOME_SCHEMA,
    read_exposures,
    read_lines,
    read_outcomes,
    ship_log,
    write_exposures,
    write_outcomes,
)
from tests.components.experiments import traffic
from tests.components.experiments.manifests import experiment

ROW = traffic.exposures(experiment(), [{"unit": "m1", "ts": 5}]).to_pylist()[0]


def test_a_line_becomes_a_row() -> None:
    read = read_lines([json.dumps(ROW), "", json.dumps({**ROW, "more": 1, "ts": 6}).encode()])
    assert not read.bad
    assert read.table.to_pylist() == [ROW, {**ROW, "ts": 6}]
    assert read.table.schema == EXPOSURE_SCHEMA


def test_a_router_that_does_not_know_the_share_leaves_it_out() -> None:
    short = {key: value for key, value in ROW.items() if key not in ("percent", "layer")}
    assert read_lines([json.dumps(short)]).table["percent"].to_pylist() == [None]


@pytest.mark.parametrize(
    "line",
    [
        json.dumps(ROW)[:-9],
        "[]",
        "[" * 100_000,
        json.dumps({**ROW, "ts": "5"}),
        json.dumps({**ROW, "ts": 2**64}),
        json.dumps({**ROW, "status": 2**33}),
        json.dumps({**ROW, "seconds": float("nan")}),
        json.dumps({**ROW, "status": True}),
        json.dumps({**ROW, "unit": None}),
        json.dumps({**ROW, "unit": "\ud800"}),
        b"\xff\xfe",
    ],
)
def test_a_bad_line_is_reported_and_left_out(line) -> None:
    read = read_lines([json.dumps(ROW), line, json.dumps(ROW)])
    assert read.table.num_rows == 2
    assert [number for number, _ in read.bad] == [2]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_line_whatever_breaks_the_reader(line: bytes) -> None:
    read = read_lines([line])
    assert read.table.num_rows + len(read.bad) <= 1


def test_shipping_a_log_twice_gives_the_same_file(tmp_path: Path) -> None:
    log = tmp_path / "exposures.jsonl"
    log.write_text(f"{json.dumps(ROW)}\n{json.dumps(ROW)[:40]}")
    target = tmp_path / "date=2026-01-01" / "a.parquet"
    assert ship_log(log, target) == 1
    first = target.read_bytes()
    assert ship_log(log, target) == 1
    assert target.read_bytes() == first
    write_exposures(read_lines([json.dumps(ROW)]).table, tmp_path / "date=2026-01-02" / "b.parquet")
    assert read_exposures(tmp_path).num_rows == 2
    assert read_exposures(tmp_path, experiment="colours").num_rows == 2
    assert read_exposures(tmp_path, experiment="shapes").num_rows == 0
    with pytest.raises(ExperimentsError, match="nowhere: cannot be read"):
        ship_log(tmp_path / "nowhere", target)


def test_a_table_of_something_else_is_refused_by_its_file_and_column(tmp_path: Path) -> None:
    with pytest.raises(ExperimentsError, match="holds no Parquet file"):
        read_exposures(tmp_path)
    pq.write_table(pa.table({"unit": ["m1"]}), tmp_path / "x.parquet")
    with pytest.raises(ExperimentsError, match=r"x.parquet: lacks the column ts"):
        read_outcomes(tmp_path)
    rows = {"unit": ["m1"], "ts": [1], "metric": ["click"], "value": ["much"]}
    with pytest.raises(ExperimentsError, match=r"y.parquet: value: "):
        write_outcomes(pa.table(rows), tmp_path / "y.parquet")
    with pytest.raises(ExperimentsError, match=r"metric: 1 are null"):
        write_outcomes(
            pa.table({**rows, "value": [1.0], "metric": pa.array([None], pa.string())}),
            tmp_path / "y.parquet",
        )
    (tmp_path / "x.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(ExperimentsError, match=r"x.parquet: cannot be read as Parquet"):
        read_exposures(tmp_path / "x.parquet")


def test_outcomes_need_no_request(tmp_path: Path) -> None:
    rows = pa.table({"unit": ["m1"], "ts": [1], "metric": ["apply"], "value": [1.0]})
    write_outcomes(rows, tmp_path / "o.parquet")
    read = read_outcomes(tmp_path / "o.parquet")
    assert read.schema == OUTCOME_SCHEMA
    assert read["request_id"].to_pylist() == [None]
