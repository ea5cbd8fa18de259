"""The same experiments over gRPC, before real KServe servers."""

import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import grpc
import pytest
import yaml
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from components.experiments.experiments import load_experiments
from tests.serving.router.conftest import free_port, write_manifest

UNITS = [f"m{number}" for number in range(40)]


@pytest.fixture(scope="module")
def servers():
    """The gRPC address of a KServe server per variant."""
    ports = {name: (free_port(), free_port()) for name in ("ranker-plain", "ranker-full")}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.serving.router.grpc_upstream", name, str(http), str(port)]
        )
        for name, (http, port) in ports.items()
    ]
    for _, port in ports.values():
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        grpc.channel_ready_future(channel).result(timeout=60)
        channel.close()
    yield {name: f"127.0.0.1:{port}" for name, (_, port) in ports.items()}
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def routed(place, upstreams, start, servers):
    """A router for both protocols, and a function that asks it over gRPC."""
    addresses = {
        name: {"http": upstream.address, "grpc": servers.get(name, "127.0.0.1:1")}
        for name, upstream in upstreams.items()
    }
    text = yaml.safe_dump({"services": {"encoder": "encoder-only"}} | addresses)
    (place / "upstreams.yaml").write_text(text)
    address = f"127.0.0.1:{free_port()}"
    running = start(grpc_listen=address)
    with grpc.insecure_channel(address) as channel:
        running.stub = GRPCInferenceServiceStub(channel)
        yield running


def ask(running, unit="m1", say="hello", service="ranker", **metadata):
    """Answer's outputs by name, the metadata before it, as lists and a dict."""
    tensor = pb.ModelInferRequest.InferInputTensor(name="say", shape=[1], datatype="BYTES")
    tensor.contents.bytes_contents.append(say.encode())
    request = pb.ModelInferRequest(model_name="ranker", inputs=[tensor])
    sent = {"x-intent-service": service, "x-member-id": unit} | metadata
    call = running.stub.ModelInfer.with_call(
        request, metadata=[(k.replace("_", "-"), v) for k, v in sent.items() if v], timeout=10
    )
    answer, told = call
    outputs = {o.name: [v.decode() for v in o.contents.bytes_contents] for o in answer.outputs}
    return outputs, dict(told.initial_metadata())


def test_units_get_over_grpc_what_they_get_over_rest(routed):
    assigned = load_experiments(routed.home / "experiments").assign("ranker", UNITS)
    for unit, expected in zip(UNITS, assigned, strict=True):
        outputs, told = ask(routed, unit)
        assert outputs["name"] == [f"ranker-{expected.variant}"]
        assert told["x-intent-variant"] == expected.variant
        assert told["x-intent-experiment"] == "ranking"
        assert routed.post(unit=unit).json()["name"] == outputs["name"][0]
    protocols = {(line["protocol"], line["status"]) for line in routed.exposures(2 * len(UNITS))}
    assert protocols == {("grpc", 200), ("rest", 200)}


def test_the_server_is_told_what_the_router_decided(routed):
    outputs, told = ask(routed, x_intent_variant="a lie", x_request_id="request-0001")
    assert outputs["unit"] == ["m1"]
    assert f"x-intent-variant={told['x-intent-variant']}" in outputs["told"]
    assert told["x-request-id"] == "request-0001"


def test_no_unit_gets_control(routed):
    assert ask(routed, unit=None)[0]["name"] == ["ranker-plain"]
    assert ask(routed, unit="x" * 4000)[0]["name"] == ["ranker-plain"]
    assert [line["reason"] for line in routed.exposures(2)] == ["no unit", "no unit"]


@pytest.fixture
def treated(routed):
    """A unit that is assigned to the treatment."""
    assigned = load_experiments(routed.home / "experiments").assign("ranker", UNITS)
    return UNITS[[a.variant for a in assigned].index("full")]


def test_a_treatment_that_is_away_is_replaced_by_the_control(routed, treated):
    path = routed.home / "upstreams.yaml"
    addresses = yaml.safe_load(path.read_text())
    addresses["ranker-full"]["grpc"] = f"127.0.0.1:{free_port()}"
    path.write_text(yaml.safe_dump(addresses))
    routed.settle()
    outputs, told = ask(routed, treated)
    assert outputs["name"] == ["ranker-plain"]
    assert (told["x-intent-variant"], told["x-intent-served"]) == ("full", "plain")
    assert routed.exposures(1)[0]["reason"] == "fallback:error"


def test_a_late_treatment_is_replaced_after_its_timeout(routed, treated):
    # Both servers are slow when asked so: the control's answer comes late, but it comes.
    routed.manifest(timeout=0.2)
    outputs, _ = ask(routed, treated, say="slow")
    assert outputs["name"] == ["ranker-plain"]
    assert routed.exposures(1)[0]["reason"] == "fallback:timeout"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"service": "nothing"}, grpc.StatusCode.NOT_FOUND),
        ({"service": None}, grpc.StatusCode.NOT_FOUND),
        ({"say": "x" * (2 << 20)}, grpc.StatusCode.RESOURCE_EXHAUSTED),
        ({"service": "encoder"}, grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_what_cannot_be_answered_is_a_grpc_status(routed, asked, code):
    with pytest.raises(grpc.RpcError) as failed:
        ask(routed, **asked)
    assert failed.value.code() == code


def test_an_error_of_a_server_is_passed_on_and_logged_as_one(routed):
    with pytest.raises(grpc.RpcError):
        ask(routed, say="fail")
    assert routed.exposures(1)[0]["status"] >= 400


def test_a_shadow_gets_copies_and_its_answers_go_nowhere(routed, servers):
    with grpc.insecure_channel(servers["ranker-full"]) as channel:
        shadow = SimpleNamespace(stub=GRPCInferenceServiceStub(channel))
        before = int(ask(shadow)[0]["count"][0])
        routed.manifest(
            salt="ranking-2",
            variants=[{"name": "plain", "inferenceService": "ranker-plain"}],
            shadow={"inferenceService": "ranker-full", "percent": 100},
        )
        assert [ask(routed, f"m{n}")[0]["name"] for n in range(5)] == [["ranker-plain"]] * 5
        time.sleep(0.3)
        assert int(ask(shadow)[0]["count"][0]) == before + 6
    assert len(routed.exposures(5)) == 5


def test_readiness_is_asked_of_the_control(routed):
    ready = routed.stub.ModelReady(
        pb.ModelReadyRequest(name="ranker"), metadata=[("x-intent-service", "ranker")]
    )
    assert ready.ready


def test_reloads_under_load_fail_no_call(routed):
    failures, calls, done = [], [], threading.Event()

    def load(number):
        while not done.is_set():
            try:
                calls.append(ask(routed, f"m{number}"))
            except grpc.RpcError as error:
                failures.append(error)

    threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for timeout in (3, 4, 5):
        write_manifest(routed.home / "experiments", timeout=timeout)
        routed.settle()
        time.sleep(0.5)
    routed.wait_for_one_generation()
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(calls) > 50
