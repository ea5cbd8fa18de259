"""A treatment that fails is answered for by the control, and the exposure says so."""

import httpx
import pytest

from components.experiments.experiments import load_experiments

ARMS = ("variant", "served", "reason", "status")


@pytest.fixture
def treated(running):
    """A unit that is assigned to the treatment."""
    experiments = load_experiments(running.home / "experiments")
    units = [f"m{number}" for number in range(50)]
    found = experiments.assign("ranker", units)
    return next(u for u, a in zip(units, found, strict=True) if a.variant == "full")


@pytest.mark.parametrize("status", [500, 501, 502, 503])
def test_an_error_of_a_treatment_is_replaced_by_the_controls_answer(running, treated, status):
    running.upstreams["ranker-full"].status = status
    answer = running.post(unit=treated)
    assert (answer.status_code, answer.json()["name"]) == (200, "ranker-plain")
    assert answer.json()["body"] == '{"instances": []}'
    assert answer.headers["x-intent-variant"] == "full"
    assert answer.headers["x-intent-served"] == "plain"
    (line,) = running.exposures(1)
    assert [line[name] for name in ARMS] == ["full", "plain", "fallback:error", 200]
    _, headers, _ = running.upstreams["ranker-plain"].asked[-1]
    assert headers["x-intent-variant"] == "plain"
    assert headers["x-intent-model"] == "ranker-plain"


def test_a_treatment_that_cannot_be_reached_is_replaced_whatever_the_body(running, treated):
    running.upstreams["ranker-full"].stop()
    body = "x" * 500_000
    url = f"{running.url}/v2/models/ranker/infer"
    answer = httpx.post(url, content=body, headers={"x-member-id": treated})
    assert answer.json()["name"] == "ranker-plain"
    assert (answer.json()["path"], answer.json()["body"]) == ("/v2/models/ranker/infer", body)
    assert running.exposures(1)[0]["reason"] == "fallback:error"


def test_a_treatment_that_takes_too_long_is_replaced_after_its_timeout(running, treated):
    running.manifest(timeout=0.1)
    running.upstreams["ranker-full"].delay = 2
    assert running.post(unit=treated).json()["name"] == "ranker-plain"
    (line,) = running.exposures(1)
    assert [line[name] for name in ARMS] == ["full", "plain", "fallback:timeout", 200]


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_what_a_treatment_says_of_the_request_is_passed_on(running, treated, status):
    running.upstreams["ranker-full"].status = status
    answer = running.post(unit=treated)
    assert answer.status_code == status
    assert [running.exposures(1)[0][name] for name in ARMS] == ["full", "full", "", status]


def test_what_the_control_says_of_itself_is_passed_on(running, treated):
    running.upstreams["ranker-plain"].status = 500
    answer = running.post(unit=None)
    assert (answer.status_code, answer.json()["name"]) == (500, "ranker-plain")


def test_when_the_control_fails_too_the_error_is_json(running, treated):
    running.upstreams["ranker-full"].stop()
    running.upstreams["ranker-plain"].stop()
    for unit in (treated, None):
        answer = running.post(unit=unit)
        assert answer.status_code == 502
        assert "cannot be reached" in answer.json()["error"]
    assert [line["status"] for line in running.exposures(2)] == [502, 502]


def test_a_connection_that_the_server_closed_meanwhile_is_not_an_error(running, treated):
    running.post(unit=treated)
    running.upstreams["ranker-full"].stop()
    running.upstreams["ranker-full"].start()
    assert running.post(unit=treated).json()["name"] == "ranker-full"
    assert running.exposures(2)[1]["reason"] == ""


def test_overridden_units_and_the_kill_switch_are_marked(running):
    running.manifest(overrides=[{"units": ["me"], "variant": "full"}])
    assert running.post(unit="me").json()["name"] == "ranker-full"
    running.manifest(overrides=[{"units": ["me"], "variant": "full"}], stopped=True)
    assert running.post(unit="me").json()["name"] == "ranker-plain"
    assert [line["reason"] for line in running.exposures(2)] == ["override", "stopped"]
