"""A treatment that harms goes to 0 % by itself."""

import json
import time

import yaml

from tests.serving.router.conftest import write_manifest

FALLBACKS = {"metric": "fallbacks", "atMost": 0.05, "minimumExposures": 50}


def units_of(running, count=300):
    for number in range(count):
        running.post(unit=f"m{number}")


def wait_for_trip(running):
    for _ in range(1200):
        tripped = running.router.status["tripped"]
        if tripped:
            return tripped
        time.sleep(0.05)
    raise AssertionError("nothing tripped")


def percent(place):
    text = (place / "experiments" / "ranking.yaml").read_text()
    return yaml.safe_load(text)["spec"]["variants"][1]["percent"]


def test_a_treatment_that_fails_is_taken_from_everybody(place, start):
    write_manifest(place / "experiments", guardrails=[FALLBACKS])
    running = start(guard_every=0.2, watch_every=0.1)
    running.upstreams["ranker-full"].status = 500
    units_of(running)
    (trip,) = wait_for_trip(running)
    assert (trip["experiment"], trip["variant"], trip["metric"]) == ("ranking", "full", "fallbacks")
    assert percent(place) == 0
    for _ in range(600):
        if running.router.status["experiments"]["ranking"]["percent"] == {"full": 0}:
            break
        time.sleep(0.05)
    assert {running.post(unit=f"m{n}").json()["name"] for n in range(30)} == {"ranker-plain"}
    written = json.loads((place / "state" / "status.json").read_text())
    assert written["tripped"] == [trip]


def test_a_treatment_ends_also_when_its_manifest_cannot_be_changed(place, start):
    write_manifest(place / "experiments", guardrails=[FALLBACKS])
    running = start(guard_every=0.2)
    (place / "experiments" / "ranking.yaml").write_text("broken: [")
    running.settle()
    running.upstreams["ranker-full"].status = 500
    units_of(running)
    wait_for_trip(running)
    running.settle()
    assert {running.post(unit=f"m{n}").json()["name"] for n in range(30)} == {"ranker-plain"}
    running.stop()
    again = start()
    assert {again.post(unit=f"m{n}").json()["name"] for n in range(30)} == {"ranker-plain"}


def test_a_guardrail_that_only_reports_leaves_the_treatment(place, start):
    write_manifest(place / "experiments", guardrails=[FALLBACKS | {"action": "report"}])
    running = start(guard_every=0.2)
    running.upstreams["ranker-full"].status = 500
    units_of(running)
    (trip,) = wait_for_trip(running)
    assert trip["action"] == "report"
    time.sleep(0.5)
    assert len(running.router.status["tripped"]) == 1
    assert percent(place) == 50


def test_a_treatment_that_does_no_harm_goes_on(place, start):
    write_manifest(place / "experiments", guardrails=[FALLBACKS])
    running = start(guard_every=0.1)
    units_of(running, 200)
    time.sleep(0.5)
    assert running.router.status["tripped"] == []
    assert percent(place) == 50
