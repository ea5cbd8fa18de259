"""Copies of requests go to the shadow, and nobody notices."""

import time

import httpx

from components.experiments.exposures import read_exposures
from tests.serving.router.conftest import write_manifest


def wait_for(upstream, count):
    for _ in range(1000):
        if len(upstream.asked) >= count:
            return list(upstream.asked)
        time.sleep(0.02)
    raise AssertionError(f"{len(upstream.asked)} copies instead of {count}")


def shadowed(percent):
    """A manifest whose treatment gets nothing but copies."""
    return {
        "variants": [{"name": "plain", "inferenceService": "ranker-plain"}],
        "shadow": {"inferenceService": "ranker-full", "percent": percent},
    }


def test_a_shadow_gets_the_request_and_is_told_that_it_is_one(place, start):
    write_manifest(place / "experiments", **shadowed(100))
    running = start()
    answer = running.post(headers={"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"})
    assert answer.json()["name"] == "ranker-plain"
    ((path, headers, body),) = wait_for(running.upstreams["ranker-full"], 1)
    assert (path, body) == ("/v1/models/ranker:predict", '{"instances": []}')
    assert headers["x-intent-variant"] == "shadow"
    assert headers["x-intent-model"] == "ranker-full"
    assert headers["x-member-id"] == "m1"
    assert headers["x-request-id"] == answer.headers["x-request-id"]
    assert headers["traceparent"].startswith("00-111")
    (line,) = running.exposures(1)
    assert (line["experiment"], line["variant"]) == ("ranking", "plain")
    running.stop()
    shipped = read_exposures(place / "state" / "exposures" / "parquet")
    assert shipped["request_id"].to_pylist() == [line["request_id"]]


def test_a_shadow_that_hangs_or_is_away_delays_and_breaks_nothing(place, start):
    write_manifest(place / "experiments", **shadowed(100))
    running = start()
    shadow = running.upstreams["ranker-full"]
    shadow.free.clear()
    with httpx.Client() as client:
        for _ in range(5):
            assert running.post(client=client).status_code == 200
    wait_for(shadow, 5)
    shadow.free.set()
    shadow.stop()
    assert running.post().status_code == 200


def test_a_shadow_gets_its_share_of_the_requests(place, start):
    write_manifest(place / "experiments", **shadowed(50))
    running = start()
    for _ in range(200):
        running.post()
    wait_for(running.upstreams["ranker-full"], 60)
    running.stop()
    assert len(running.upstreams["ranker-full"].asked) < 140


def test_the_kill_switch_ends_the_copies(place, start):
    write_manifest(place / "experiments", **shadowed(100), stopped=True)
    running = start()
    running.post()
    running.stop()
    assert running.upstreams["ranker-full"].asked == []
