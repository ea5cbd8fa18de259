"""What was answered is logged once, whatever is rotated, shipped or killed meanwhile."""

import threading
import time

import httpx
import pytest

from components.experiments.exposures import EXPOSURE_SCHEMA, read_exposures
from serving.router.log import ExposureLog


def shipped(running):
    """Exposures in Parquet."""
    folder = running.home / "state" / "exposures" / "parquet"
    return read_exposures(folder) if any(folder.rglob("*.parquet")) else None


def test_an_exposure_says_what_an_analysis_needs(running):
    before = int(time.time() * 1e6)
    answer = running.post(unit='quotes " and \\ too')
    (line,) = running.exposures(1)
    assert list(line) == EXPOSURE_SCHEMA.names
    assert before - 2000 <= line["ts"] <= int(time.time() * 1e6) + 2000
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["unit"] == 'quotes " and \\ too'
    assert (line["service"], line["protocol"], line["experiment"]) == ("ranker", "rest", "ranking")
    assert (line["status"], line["percent"]) == (200, 50.0)
    assert 0 <= line["seconds"] < 5


def test_health_metrics_and_metadata_are_no_exposures(running):
    for path in ("/healthz", "/metrics", "/status", "/v2/models/ranker/ready", "/nothing"):
        httpx.get(running.url + path)
    running.post()
    assert len(running.exposures(1)) == 1


def test_rotation_under_load_loses_and_doubles_nothing(start):
    running = start(rotate_bytes=20_000, workers=2)
    ids, done = [], threading.Event()

    def load(number):
        with httpx.Client() as client:
            while not done.is_set():
                answer = running.post(unit=f"m{number}", client=client)
                ids.append(answer.headers["x-request-id"])

    threads = [threading.Thread(target=load, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    folder = running.home / "state" / "exposures"
    for _ in range(600):
        if len(list(folder.rglob("*.parquet"))) > 2:
            break
        time.sleep(0.05)
    done.set()
    for thread in threads:
        thread.join()
    running.stop()
    table = shipped(running)
    assert sorted(table["request_id"].to_pylist()) == sorted(ids)
    assert len(list(folder.rglob("*.parquet"))) > 2
    assert {path.parent.name[:7] for path in folder.rglob("*.parquet")} == {"date=20"}
    assert list(folder.rglob("*.jsonl")) == []


LINE = (
    b'{"ts":1,"request_id":"r%d","service":"ranker","protocol":"rest","experiment":"e",'
    b'"revision":"1","unit":"m","variant":"v","served":"v","reason":"","status":200,'
    b'"seconds":0.001,"layer":"","percent":1}\n'
)


@pytest.fixture
def log(tmp_path):
    """A log of two exposures, to which nobody writes any more."""
    log = ExposureLog(tmp_path, every=0, size=1 << 20)
    log.current.write_bytes(LINE % 1 + LINE % 2)
    return log


def nothing(*_):
    return False


def test_shipping_again_after_a_crash_makes_the_same_file(tmp_path, log):
    closed = log.rotate(nothing, nothing)
    lines = closed.read_bytes()
    assert log.ship(nothing) == 2
    (first,) = log.parquet.rglob("*.parquet")
    written = first.read_bytes()
    closed.write_bytes(lines)  # As if the router had been killed before it removed the log.
    assert ExposureLog(tmp_path, every=0, size=1).ship(nothing) == 2
    assert [path.read_bytes() for path in log.parquet.rglob("*.parquet")] == [written]


def test_a_log_that_cannot_be_shipped_is_kept_until_it_can(log):
    closed = log.rotate(nothing, nothing)
    log.parquet.write_text("in the way")
    with pytest.raises(OSError, match="parquet"):
        log.ship(nothing)
    assert closed.exists()
    log.parquet.unlink()
    assert log.ship(nothing) == 2
    assert not closed.exists()


def test_a_log_that_was_being_closed_when_the_router_was_killed_is_shipped_later(tmp_path, log):
    log.current.rename(log.current.with_name("closing-20261123T101112131415Z.jsonl"))
    assert ExposureLog(tmp_path, every=0, size=1).ship(nothing) == 2
    (file,) = log.parquet.rglob("*.parquet")
    assert file.parent.name == "date=2026-11-23"


def test_a_line_that_cannot_be_read_is_kept_aside_and_costs_no_other(tmp_path, log):
    log.current.write_bytes(LINE % 1 + b'{"ts":1,"reque\n' + LINE % 2)
    log.rotate(nothing, nothing)
    assert log.ship(nothing) == 2
    assert log.bad == 1
    assert len(list((tmp_path / "exposures" / "bad").iterdir())) == 1


def test_exposures_that_are_not_shipped_yet_are_seen_too(log):
    log.rotate(nothing, nothing)
    log.ship(nothing)
    log.current.write_bytes(LINE % 3)
    assert sorted(log.recent(0, {"1"})["request_id"].to_pylist()) == ["r1", "r2", "r3"]
    assert log.recent(2, {"1"}).num_rows == log.recent(0, {"2"}).num_rows == 0


def test_metrics_count_what_was_answered_over_rotations(start):
    running = start(rotate_every=0.5)
    for number in range(40):
        running.post(unit=f"m{number}")
    for _ in range(600):
        table = shipped(running)
        if table is not None and table.num_rows == 40:
            break
        time.sleep(0.05)
    assert table.num_rows == 40
    running.post(unit=None)
    for _ in range(600):  # nginx logs a request when its answer has gone out.
        text = httpx.get(f"{running.url}/metrics").text
        counted = [
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith("intent_router_requests_total")
        ]
        if sum(counted) == 41:
            break
        time.sleep(0.05)
    assert sum(counted) == 41
    assert 'reason="no unit"' in text
    assert 'intent_router_variant_percent{experiment="ranking",variant="full"} 50.0' in text
    assert 'intent_router_connections{state="active"}' in text
    assert "intent_router_generation 1.0" in text
