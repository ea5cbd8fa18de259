"""Copies of requests go to the shadow, and nobody notices."""

import time

import httpx

from tests.serving.router.conftest import write_manifest


def wait_for(upstream, count):
    for _ in range(100):
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
    time.sleep(0.1)
    assert len(running.exposures(1)) == 1


def test_a_shadow_that_is_slow_or_away_delays_and_breaks_nothing(place, start):
    write_manifest(place / "experiments", **shadowed(100))
    running = start()
    running.upstreams["ranker-full"].delay = 3
    started = time.monotonic()
    with httpx.Client() as client:
        for _ in range(5):
            assert running.post(client=client).status_code == 200
    assert time.monotonic() - started < 2.5
    wait_for(running.upstreams["ranker-full"], 5)
    running.upstreams["ranker-full"].stop()
    assert running.post().status_code == 200


def test_a_shadow_gets_its_share_of_the_requests(place, start):
    write_manifest(place / "experiments", **shadowed(50))
    running = start()
    for _ in range(200):
        running.post()
    time.sleep(0.2)
    assert 60 < len(running.upstreams["ranker-full"].asked) < 140


def test_the_kill_switch_ends_the_copies(place, start):
    write_manifest(place / "experiments", **shadowed(100), stopped=True)
    running = start()
    running.post()
    time.sleep(0.2)
    assert running.upstreams["ranker-full"].asked == []
