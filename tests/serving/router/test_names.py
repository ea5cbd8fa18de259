"""Services that move are followed; a name server that is away takes no address away."""

import socket

import pytest

from serving.router import names
from serving.router.names import Found, resolve
from tests.serving.router.conftest import write_upstreams
from tests.serving.router.test_manifests import UNITS, percent, treated


@pytest.fixture
def name_server(monkeypatch):
    """Hosts and what a name server says of them: addresses, or the error it answers with."""
    hosts, real = {}, socket.getaddrinfo

    def look_up(host, port, *arguments, **named):
        answer = hosts.get(host)
        if answer is None:
            return real(host, port, *arguments, **named)
        if isinstance(answer, int):
            raise socket.gaierror(answer, "so it is")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 0)) for each in answer]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(names, "_EVERY", 0.05)
    return hosts


def name_the_treatment(running, host="ranker.test"):
    """Have the treatment be reached by a host name."""
    upstreams = running.upstreams
    write_upstreams(running.home, upstreams)
    path = running.home / "upstreams.yaml"
    port = upstreams["ranker-full"].port
    path.write_text(path.read_text().replace(f"127.0.0.1:{port}", f"{host}:{port}"))
    running.settle()


def wait_for(condition, running):
    for _ in range(600):
        running.settle()
        if condition():
            return
        running.router._stopping.wait(0.05)
    raise AssertionError(running.router.status)


def test_a_service_under_another_address_is_followed(running, name_server):
    name_server["ranker.test"] = ["127.0.0.2"]
    name_the_treatment(running)
    assert treated(running) == set()  # Nobody listens there, so the control answers.
    name_server["ranker.test"] = ["127.0.0.1"]
    wait_for(lambda: treated(running), running)


def test_a_name_server_that_is_away_takes_nothing_away(running, name_server):
    name_server["ranker.test"] = ["127.0.0.1"]
    name_the_treatment(running)
    before = treated(running)
    assert before
    name_server["ranker.test"] = socket.EAI_AGAIN
    running.manifest(timeout=3)
    running.router._stopping.wait(0.2)
    running.settle()
    assert treated(running) == before
    assert running.router.status["away"] == []


def test_a_name_that_is_no_longer_there_sends_its_units_to_the_control(running, name_server):
    name_server["ranker.test"] = ["127.0.0.1"]
    name_the_treatment(running)
    assert treated(running)
    name_server["ranker.test"] = socket.EAI_NONAME
    wait_for(lambda: running.router.status["away"], running)
    assert treated(running) == set()
    # It can be taken from everybody while it is away.
    running.manifest(variants=percent(50), stopped=True)
    assert running.router.status["experiments"]["ranking"]["stopped"]
    running.manifest(variants=percent(0))
    assert running.router.status["rejected"] == []


def test_a_variant_that_nobody_gets_may_be_away_until_it_is_ramped(running, name_server):
    name_server["ranker.test"] = ["127.0.0.1"]
    new = {"name": "new", "inferenceService": "ranker-new"}
    running.manifest(variants=[*percent(50), new | {"percent": 0}])
    assert running.router.status["rejected"] == []
    assert treated(running)
    running.manifest(variants=[*percent(50), new | {"percent": 1}])
    (rejected,) = running.router.status["rejected"]
    assert "not among the upstreams" in rejected["reason"]
    assert len({running.post(unit=unit).status_code for unit in UNITS}) == 1


def test_an_address_needs_no_name_server():
    assert resolve("10.1.2.3", None) == Found(("10.1.2.3",), None)
    assert resolve("::1", None) == Found(("::1",), None)
