"""The router in a cluster: ramped by manifests, told in their status, untroubled by outages."""

import json
import os
import subprocess
import sys
import threading
import time

import httpx
import pytest
import yaml

from components.cluster.client import EXPERIMENT
from components.experiments.experiments import admit
from components.experiments.places import open_place
from serving.router import cluster as watching
from serving.router.router import Router
from tests.cluster.accounts import make_account, mount_account
from tests.serving.router.conftest import Running, free_port, settings_of
from tests.serving.router.test_reload import Client, wait_for_status
from tests.serving.router.upstream import Upstream

pytestmark = pytest.mark.cluster

UNITS = [f"m{number}" for number in range(300)]
RIGHTS = [
    {
        "apiGroups": ["intent-store.dev"],
        "resources": ["experiments"],
        "verbs": ["get", "list", "watch", "patch"],
    },
    {
        "apiGroups": ["intent-store.dev"],
        "resources": ["experiments/status"],
        "verbs": ["get", "patch"],
    },
    {
        "apiGroups": ["serving.kserve.io"],
        "resources": ["inferenceservices"],
        "verbs": ["get", "list", "watch"],
    },
]


@pytest.fixture
def upstreams():
    found = {name: Upstream(name) for name in ("ranker-plain", "ranker-full")}
    yield found
    for upstream in found.values():
        upstream.stop()


@pytest.fixture(scope="module")
def client():
    with httpx.Client(timeout=10) as client:
        yield client


@pytest.fixture
def home(cluster, namespace, tmp_path, upstreams, monkeypatch):
    """A directory with the addresses of the services, and a namespace for the experiments."""
    cluster.install_crds()
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    addresses = {name: {"http": upstream.address} for name, upstream in upstreams.items()}
    (tmp_path / "upstreams.yaml").write_text(yaml.safe_dump(addresses))
    return tmp_path


@pytest.fixture
def start(home, namespace, upstreams, client):
    """Start routers that watch the namespace and stop at the end of the test."""
    started = []

    def start(**changes):
        usual = {
            "experiments": f"kubernetes:{namespace}",
            "watch_every": 0.05,
            "report_every": 1,
            "name": f"router-{len(started)}",
            "state": home / f"state-{len(started)}",
        }
        settings = settings_of(home, **usual | changes)
        router = Router(settings)
        router.start()
        thread = threading.Thread(target=router.run)
        thread.start()
        url = f"http://{settings.listen}"
        started.append(Running(router, url, home, upstreams, client, thread))
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.fixture
def ramp(cluster, namespace):
    """Return a function that applies a manifest, as a person does."""

    def apply(percent, **changes):
        manifest = manifest_with(percent, **changes)
        cluster.kubectl("-n", namespace, "apply", "-f", "-", input=yaml.safe_dump(manifest))
        return manifest

    return apply


def manifest_with(percent, **changes):
    spec = {
        "service": "ranker",
        "salt": "ranking-1",
        "control": "plain",
        "variants": [
            {"name": "plain", "inferenceService": "ranker-plain"},
            {"name": "full", "inferenceService": "ranker-full", "percent": percent},
        ],
        "timeout": 5,
    }
    return {
        "apiVersion": EXPERIMENT.api_version,
        "kind": "Experiment",
        "metadata": {"name": "ranking"},
        "spec": spec | changes,
    }


def promised(manifest):
    """Units that the allocation gives the treatment."""
    assigned = admit({"here": manifest}).assign("ranker", UNITS)
    return {unit for unit, a in zip(UNITS, assigned, strict=True) if a.variant == "full"}


def treated(running):
    return {unit for unit in UNITS if running.post(unit=unit).headers["x-intent-served"] == "full"}


def wait_until_routed(running, percent, stopped=False):
    for _ in range(1200):
        found = running.router.status["experiments"].get("ranking", {})
        if found.get("percent") == {"full": percent} and found["stopped"] is stopped:
            return
        time.sleep(0.05)
    raise AssertionError(f"not at {percent}: {running.router.status}")


def status_of(cluster, namespace):
    return cluster.get("-n", namespace, "experiment", "ranking").get("status", {})


def condition(status, kind):
    return next((c for c in status.get("conditions", ()) if c["type"] == kind), {})


def test_a_ramp_by_apply_holds_what_it_promises_and_fails_no_request(start, ramp):
    ramp(0)
    running = start(workers=2)
    waits = [0, 0.01, 0.05, 0.3, 0.8, 1.5]
    clients = [Client(running.url, f"c{n}", wait) for n, wait in enumerate(waits)]
    for client in clients:
        client.start()
    seen = []
    for percent in (0, 1, 20, 50, 0):
        manifest = ramp(percent)
        wait_until_routed(running, percent)
        seen.append(treated(running))
        assert seen[-1] == promised(manifest)
    for client in clients:
        client.done.set()
    for client in clients:
        client.join()
    assert [failure for client in clients for failure in client.failures] == []
    assert {status for client in clients for status, _ in client.answers} == {200}
    nothing, one, twenty, fifty, end = seen
    assert nothing == end == set()
    assert one <= twenty <= fifty
    assert len(twenty) < len(fifty)


def test_the_kill_switch_and_the_end_of_an_experiment_arrive(cluster, namespace, start, ramp):
    ramp(50)
    running = start()
    assert treated(running)
    ramp(50, stopped=True)
    wait_until_routed(running, 50, stopped=True)
    assert treated(running) == set()
    cluster.kubectl("-n", namespace, "delete", "experiment", "ranking")
    cluster.wait_for(lambda: "ranking" not in running.router.status["experiments"])
    assert running.post().status_code == 404


def test_a_router_begins_before_the_first_experiment(start, ramp, upstreams, home):
    addresses = {n: {"http": u.address, "grpc": u.address} for n, u in upstreams.items()}
    (home / "upstreams.yaml").write_text(yaml.safe_dump(addresses))
    running = start(grpc_listen=f"127.0.0.1:{free_port()}")
    assert running.post().status_code == 404
    assert running.client.get(f"{running.url}/status").json()["error"] is None
    ramp(50)
    wait_until_routed(running, 50)
    assert running.post().status_code == 200


def test_the_status_says_what_becomes_of_a_manifest(cluster, namespace, start, ramp):
    serve(cluster, namespace, "ranker-plain", "True")
    serve(cluster, namespace, "ranker-full", "False", "still pulling")
    manifest = ramp(20)
    running = start()
    for unit in UNITS:
        running.post(unit=unit)
    cluster.wait_for(lambda: exposures(status_of(cluster, namespace)) == len(UNITS))
    status = status_of(cluster, namespace)
    experiment = admit({"here": manifest}).by_name["ranking"]
    generation = cluster.get("-n", namespace, "experiment", "ranking")["metadata"]["generation"]
    assert status["observedGeneration"] == generation
    assert status["revision"] == status["routers"][0]["revision"] == experiment.revision
    assert status["split"] == "plain 80, full 20"
    assert status["variants"] == [
        {"name": "plain", "percent": 80, "buckets": ["2000-9999"], "ready": "True"},
        {
            "name": "full",
            "percent": 20,
            "buckets": ["0-1999"],
            "ready": "False",
            "message": "ranker-full: still pulling",
        },
    ]
    counted = {c["variant"]: c["count"] for c in status["routers"][0]["exposures"]}
    assert counted["full"] == len(promised(manifest))
    assert condition(status, "Accepted")["status"] == "True"
    assert condition(status, "Ready")["status"] == "False"
    serve(cluster, namespace, "ranker-full", "True")
    cluster.wait_for(lambda: condition(status_of(cluster, namespace), "Ready")["status"] == "True")
    table = cluster.kubectl("-n", namespace, "get", "experiments")
    assert "plain 80, full 20" in table


def test_what_the_server_cannot_refuse_the_router_refuses_in_the_status(
    cluster, namespace, start, ramp
):
    good = ramp(20)
    running = start()
    before = treated(running)
    cluster.wait_for(lambda: status_of(cluster, namespace).get("revision"))
    revision = status_of(cluster, namespace)["revision"]
    ramp(20.005)  # Three decimals are for a CEL rule, which this server does not evaluate.
    cluster.wait_for(
        lambda: condition(status_of(cluster, namespace), "Accepted")["status"] == "False"
    )
    status = status_of(cluster, namespace)
    assert "two decimals" in condition(status, "Accepted")["message"]
    assert f"revision {revision} goes on" in condition(status, "Accepted")["message"]
    assert status["revision"] == revision
    assert treated(running) == before == promised(good)
    ramp(30)
    wait_until_routed(running, 30)
    cluster.wait_for(
        lambda: condition(status_of(cluster, namespace), "Accepted")["status"] == "True"
    )


def test_replicas_tell_one_status_and_do_not_fight_over_it(cluster, namespace, start, ramp):
    ramp(20)
    first, second = start(), start()
    for running, share in ((first, UNITS[:100]), (second, UNITS[100:])):
        for unit in share:
            running.post(unit=unit)
    cluster.wait_for(lambda: exposures(status_of(cluster, namespace)) == len(UNITS))
    names = [router["name"] for router in status_of(cluster, namespace)["routers"]]
    assert names == ["router-0", "router-1"]
    # Once everything is told, nobody writes but to say now and then that he is there.
    before = status_of(cluster, namespace)
    writes, deadline = set(), time.monotonic() + 3
    while time.monotonic() < deadline:
        resource = cluster.get("-n", namespace, "experiment", "ranking")
        writes.add(resource["metadata"]["resourceVersion"])
        time.sleep(0.2)
    after = status_of(cluster, namespace)
    for status in (before, after):
        for router in status["routers"]:
            del router["at"]
    assert after == before
    assert len(writes) <= 4


def test_the_routers_rights_suffice(cluster, namespace, start, ramp, home, monkeypatch, tmp_path):
    make_account(cluster, namespace, "intent-store-router", RIGHTS)
    folder = mount_account(
        cluster, namespace, "intent-store-router", tmp_path / "account", monkeypatch
    )
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setattr("components.cluster.client.POD_ACCOUNT", folder)
    ramp(20)
    running = start(experiments="kubernetes:")
    cluster.wait_for(lambda: condition(status_of(cluster, namespace), "Accepted"))
    experiment = running.router._accepted.experiments.by_name["ranking"]
    running.router._source.end_variant(experiment, "full")
    wait_until_routed(running, 0)


def test_a_guardrail_ends_a_variant_in_the_resource_and_says_why(
    cluster, namespace, start, ramp, upstreams
):
    rail = {"metric": "fallbacks", "atMost": 0.01, "minimumExposures": 20}
    ramp(50, guardrails=[rail])
    upstreams["ranker-full"].status = 500
    running = start(guard_every=0.2)
    for number in range(400):
        running.post(unit=f"m{number}")
    wait_until_routed(running, 0)
    spec = cluster.get("-n", namespace, "experiment", "ranking")["spec"]
    assert spec["variants"][1]["percent"] == 0
    cluster.wait_for(lambda: status_of(cluster, namespace).get("tripped"))
    (tripped,) = status_of(cluster, namespace)["tripped"]
    assert (tripped["variant"], tripped["metric"]) == ("full", "fallbacks")


def test_a_ramp_and_a_guardrail_at_once_lose_nothing(cluster, namespace, start, ramp):
    manifest = ramp(20)
    running = start()
    experiment = running.router._accepted.experiments.by_name["ranking"]
    place = open_place(f"kubernetes:{namespace}")
    done = []

    def stop_and_go():
        for number in range(6):
            place.set_stopped("ranking", number % 2 == 0)
        done.append("stop")

    def end():
        for _ in range(6):
            running.router._source.end_variant(experiment, "full")
        done.append("end")

    threads = [threading.Thread(target=job) for job in (stop_and_go, end)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == ["end", "stop"]
    spec = cluster.get("-n", namespace, "experiment", "ranking")["spec"]
    assert spec["variants"][1]["percent"] == 0
    assert spec["stopped"] is False
    assert spec["salt"] == manifest["spec"]["salt"]


def test_an_api_server_that_is_killed_stops_no_traffic_and_is_followed_when_it_returns(
    own_cluster, namespace, start, ramp, monkeypatch
):
    monkeypatch.setattr(watching, "LONGEST", 1.0)
    manifest = ramp(20)
    running = start()
    before = treated(running)
    client = Client(running.url, "m1", 0.02)
    client.start()
    own_cluster.stop_api_server()
    try:
        own_cluster.wait_for(lambda: running.router.status["watch"])
        assert treated(running) == before == promised(manifest)
        metrics = running.client.get(f"{running.url}/metrics").text
        assert "intent_router_watch_failing 1.0" in metrics
    finally:
        own_cluster.start_api_server()
    own_cluster.wait_for(lambda: not running.router.status["watch"])
    manifest = ramp(50)
    wait_until_routed(running, 50)
    assert treated(running) == promised(manifest)
    client.done.set()
    client.join()
    assert client.failures == []
    assert {status for status, _ in client.answers} == {200}


def test_a_router_begins_with_what_held_while_the_api_server_is_away(
    own_cluster, namespace, start, ramp, monkeypatch
):
    monkeypatch.setattr(watching, "LONGEST", 1.0)
    manifest = ramp(20)
    first = start()
    first.stop()
    own_cluster.stop_api_server()
    try:
        second = start(state=first.home / "state-0")
        assert treated(second) == promised(manifest)
        assert second.router.status["watch"]
    finally:
        own_cluster.start_api_server()
    manifest = ramp(50)
    wait_until_routed(second, 50)


def test_a_watch_that_has_fallen_too_far_behind_begins_anew(start, ramp, monkeypatch):
    real, asked = watching.listed, []

    def listed(*arguments, **named):
        found, version = real(*arguments, **named)
        asked.append(version)
        return found, "1" if len(asked) == 1 else version

    monkeypatch.setattr(watching, "listed", listed)
    ramp(20)
    running = start()
    ramp(50)
    wait_until_routed(running, 50)
    assert len(asked) > 1


def test_the_command_watches_a_cluster(home, namespace, ramp):
    manifest = ramp(20)
    settings = settings_of(home, experiments=f"kubernetes:{namespace}")
    flags = [
        f"--{name.replace('_', '-')}={getattr(settings, name)}"
        for name in ("experiments", "upstreams", "state", "listen")
    ]
    router = subprocess.Popen([sys.executable, "-m", "serving.router", *flags], env=os.environ)
    try:
        status = wait_for_status(f"http://{settings.listen}")
        percent = {v["name"]: v.get("percent") for v in manifest["spec"]["variants"]}
        assert status["experiments"]["ranking"]["percent"] == {"full": percent["full"]}
    finally:
        router.terminate()
        assert router.wait(20) == 0


def serve(cluster, namespace, name, ready, message=""):
    """Put an InferenceService there, with the status that KServe would write."""
    manifest = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {"predictor": {"model": {"modelFormat": {"name": "intent-store"}}}},
    }
    cluster.kubectl("-n", namespace, "apply", "-f", "-", input=yaml.safe_dump(manifest))
    ready_now = {"type": "Ready", "status": ready, **({"message": message} if message else {})}
    status = {"conditions": [ready_now]}
    cluster.kubectl(
        *("-n", namespace, "patch", "inferenceservice", name, "--subresource=status"),
        *("--type=merge", "-p", json.dumps({"status": status})),
    )


def exposures(status):
    return sum(
        count["count"] for router in status.get("routers", ()) for count in router["exposures"]
    )
