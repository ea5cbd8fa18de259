"""Who gets what, and what is said of it, over REST."""

import socket

import httpx
import pytest

from components.experiments.experiments import load_experiments
from tests.serving.router.conftest import write_manifest

UNITS = [f"m{number}" for number in range(150)]


def layered(folder):
    """Two experiments in one layer, with a gap between them; one with an override, one stopped."""
    write_manifest(
        folder,
        layer={"name": "ranking", "start": 0, "size": 60},
        overrides=[{"units": ["m1", "Who@x+y.org"], "variant": "full"}],
    )
    write_manifest(
        folder, "other", layer={"name": "ranking", "start": 70, "size": 30}, stopped=True
    )


@pytest.mark.parametrize("arrange", [write_manifest, layered], ids=["alone", "layered"])
def test_every_unit_gets_what_the_manifests_assign(place, start, arrange):
    arrange(place / "experiments")
    running = start()
    units = [*UNITS, "Who@x+y.org", "who@x+y.org", "with a space", "~tilde", "default"]
    expected = load_experiments(place / "experiments").assign("ranker", units)
    with httpx.Client() as client:
        for unit, assigned in zip(units, expected, strict=True):
            answer = running.post(unit=unit, client=client)
            assert answer.json()["name"] == f"ranker-{assigned.variant}"
            assert answer.headers["x-intent-variant"] == assigned.variant
            assert answer.headers.get("x-intent-experiment") == assigned.experiment
    logged = running.exposures(len(units))
    assert [(line["variant"], line["reason"]) for line in logged] == [
        (assigned.variant, assigned.reason) for assigned in expected
    ]


def test_an_answer_says_its_experiment_and_the_request_by_which_outcomes_name_it(running):
    experiment = load_experiments(running.home / "experiments").by_name["ranking"]
    answer = running.post(headers={"x-request-id": "search-0001"})
    assert answer.headers["x-intent-experiment"] == "ranking"
    assert answer.headers["x-intent-revision"] == experiment.revision
    assert answer.headers.get_list("x-intent-served") == [answer.headers["x-intent-variant"]]
    assert answer.headers["x-request-id"] == "search-0001"
    assert running.exposures(1)[0]["request_id"] == "search-0001"


def test_a_request_without_a_usable_id_is_given_one_of_its_own(running):
    given = {running.post(headers={"x-request-id": bad}).headers["x-request-id"] for bad in "ab"}
    assert len(given) == 2
    assert all(len(request_id) == 32 for request_id in given)


def test_a_server_is_told_what_the_router_decided_not_what_the_client_claims(running):
    lies = ("experiment", "variant", "revision", "model", "service", "served")
    answer = running.post(headers={f"x-intent-{name}": "a lie" for name in lies})
    name = answer.json()["name"]
    _, headers, _ = running.upstreams[name].asked[-1]
    assert {key: value for key, value in headers.items() if key.startswith("x-intent-")} == {
        "x-intent-experiment": "ranking",
        "x-intent-revision": answer.headers["x-intent-revision"],
        "x-intent-variant": name.removeprefix("ranker-"),
        "x-intent-model": name,
        "x-intent-service": "ranker",
    }
    assert headers["x-member-id"] == "m1"
    assert headers["x-request-id"] == answer.headers["x-request-id"]


def test_a_trace_goes_on_and_one_is_begun_where_there_is_none(running):
    theirs = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
    names = [
        running.post(headers=headers).json()["name"] for headers in ({"traceparent": theirs}, {})
    ]
    first, second = (running.upstreams[names[0]].asked[n][1]["traceparent"] for n in (0, 1))
    assert first == theirs
    assert [len(part) for part in second.split("-")] == [2, 32, 16, 2]


@pytest.mark.parametrize(
    "unit",
    [None, "", "x" * 129, "x" * 10_000, b"\xff\xfe", "é".encode(), b"a\tb"],
    ids=["missing", "empty", "129 long", "10 KB", "not UTF-8", "not ASCII", "tab"],
)
def test_what_is_no_unit_gets_control(running, unit):
    answer = running.post(unit=unit)
    assert answer.status_code == 200
    assert answer.json()["name"] == "ranker-plain"
    assert "x-member-id" not in running.upstreams["ranker-plain"].asked[-1][1]
    (line,) = running.exposures(1)
    assert (line["unit"], line["variant"], line["reason"]) == ("", "plain", "no unit")


def test_a_service_without_an_experiment_is_answered_by_its_default(running):
    answer = running.post("encoder")
    assert answer.json()["name"] == "encoder-only"
    (line,) = running.exposures(1)
    assert (line["experiment"], line["variant"], line["percent"]) == ("", "only", None)


@pytest.mark.parametrize("path", ["/v1/models/ranker:predict?a=%20b", "/v2/models/ranker/infer"])
def test_paths_and_bodies_arrive_as_they_were_sent(running, path):
    body = "x" * 300_000
    answer = httpx.post(running.url + path, content=body, headers={"x-member-id": "m1"})
    assert answer.json() == answer.json() | {"path": path, "body": body}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models/ranker:predict", 405),
        ("POST", "/v1/models/nothing:predict", 404),
        ("POST", "/arm/ranker/in/ranking/full", 404),
        ("POST", "/v1/models/ranker:predict", 413),
        ("GET", "/" + "x" * 20_000, 414),
        ("UNHEARD OF", "/", 400),
    ],
)
def test_what_cannot_be_answered_is_an_error_in_json(running, method, path, status):
    body = b"x" * ((1 << 20) + 1) if status == 413 else b""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    answer = raw(running.url, head.encode() + body)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b'{"error": "' in answer


def test_headers_beyond_all_bounds_are_refused(running):
    answer = running.post(unit="x" * 40_000)
    assert answer.status_code == 431
    assert answer.json() == {"error": "the headers are too long"}


def test_health_is_the_routers_own_and_each_services(running):
    assert httpx.get(f"{running.url}/healthz").json()["status"] == "ok"
    assert httpx.get(f"{running.url}/healthz/ranker").json()["path"] == "/v2/models/ranker/ready"
    running.upstreams["ranker-plain"].stop()
    assert httpx.get(f"{running.url}/healthz").status_code == 200
    assert httpx.get(f"{running.url}/healthz/ranker").status_code == 502


def raw(url, data):
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(data)
        return connection.recv(65536)
