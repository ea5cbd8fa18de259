"""A server from its start to its end: readiness, new versions, damage, draining, kill -9."""

import asyncio
import json
import shutil
import signal
import threading
import time
from contextlib import ExitStack

import grpc
import httpx
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from components.encoder.vectors import MemberVectors, save_member_vectors
from components.errors import IntentError
from components.store.push import Source, push
from serving.models.base import Place
from serving.registry import Registry
from tests.serving.run import package_encoder, serving

ASKED = {"text": "ward nurse"}


class Callers:
    """Clients that ask without a pause, strictly: whatever is no answer is kept.

    As a load balancer does, they go where else they can once an answer closes its connection.
    """

    def __init__(self, url, count=4):
        self.answered, self.failures = [], []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(url,)) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _ask(self, url):
        with httpx.Client(base_url=url, timeout=20) as client:
            while not self._stop.is_set():
                try:
                    response = client.post(
                        "/v1/models/encoder:predict", json={"instances": [ASKED]}
                    )
                except httpx.TransportError as error:
                    self.failures.append(error)
                    time.sleep(0.01)
                    continue
                if response.status_code == 200:
                    version = response.headers["x-intent-model-version"]
                    vector = response.json()["predictions"][0]["vector"]
                    vector = tuple(round(value, 3) for value in vector)  # batches round apart
                    self.answered.append((version, vector))
                else:
                    self.failures.append(response.text)
                if response.headers.get("connection") == "close":
                    return

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait(self, more):
        wanted = len(self.answered) + more
        end = time.monotonic() + 30
        while len(self.answered) < wanted:
            assert time.monotonic() < end, self.failures[-3:]
            time.sleep(0.01)


class Kept:
    """A server of a package that tests change; started again when one has ended it."""

    def __init__(self, made, folder):
        self.package, self._folder, self._stack = folder / "encoder", folder, ExitStack()
        shutil.copytree(made.package("encoder-finetuned"), self.package)
        self._server = None

    def server(self):
        if self._server is None or self._server.process.poll() is not None:
            options = "--watch", "0.2", "--linger", "1"
            self._server = self._stack.enter_context(
                serving(self._folder, [self.package], *options)
            )
        return self._server

    def close(self):
        self._stack.close()


@pytest.fixture(scope="module")
def kept(made, tmp_path_factory):
    keeper = Kept(made, tmp_path_factory.mktemp("kept"))
    yield keeper
    keeper.close()


@pytest.fixture
def encoder(kept, made):
    """The package and a server of it."""
    return kept.package, kept.server()


def test_a_new_version_takes_over_under_load_without_a_failed_request(made, encoder):
    package, server = encoder
    callers = Callers(server.url)
    callers.wait(20)
    package_encoder(made, package, seed=7)
    loaded = server.http.post("/v2/repository/models/encoder-finetuned/load")
    callers.wait(20)
    callers.stop()
    assert loaded.json() == {"name": "encoder-finetuned", "load": True}
    assert callers.failures == []
    versions = list(dict.fromkeys(version for version, _ in callers.answered))
    assert len(versions) == 2
    assert len(set(callers.answered)) == 2  # each version has one vector for the text, never mixed


def test_a_damaged_version_is_refused_and_the_one_before_goes_on(encoder):
    package, server = encoder
    before = server.answer("encoder", ASKED)
    weights = package / "encoder" / "model.safetensors"
    sound = weights.read_bytes()
    weights.unlink()  # a package shares its files with the run they come from
    weights.write_bytes(sound[:-100])
    about = package / "variant.json"
    about.write_text(about.read_text().replace('"version": "', '"version": "0'))
    refused = server.http.post("/v2/repository/models/encoder-finetuned/load")
    assert refused.status_code == 409
    assert "model.safetensors: damaged" in refused.json()["error"]
    assert refused.json()["error"].endswith("goes on")
    assert server.answer("encoder", ASKED) == before
    asked = pb.RepositoryModelLoadRequest(model_name="encoder-finetuned")
    with grpc.insecure_channel(server.grpc) as channel:
        stub = GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as error:
            stub.RepositoryModelLoad(asked)
    assert error.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    weights.write_bytes(sound)
    about.write_text(about.read_text().replace('"version": "0', '"version": "'))


def test_a_model_is_unloaded_and_brought_back(encoder):
    _, server = encoder
    with grpc.insecure_channel(server.grpc) as channel:
        stub = GRPCInferenceServiceStub(channel)
        name = "encoder-finetuned"
        unload = pb.RepositoryModelUnloadRequest(model_name=name)
        assert stub.RepositoryModelUnload(unload).isUnloaded
        assert server.ask("encoder", ASKED).status_code == 404
        assert server.http.get("/v2/health/ready").status_code == 503
        assert stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name=name)).isLoaded
    assert server.ask("encoder", ASKED).status_code == 200


def test_a_new_version_is_noticed(made, encoder):
    package, server = encoder

    def version():
        return server.ask("encoder", ASKED).headers["x-intent-model-version"]

    before = version()
    package_encoder(made, package, seed=9)
    _until(lambda: version() != before)


def test_a_server_told_to_stop_says_so_and_loses_no_request(encoder):
    _, server = encoder
    callers = Callers(server.url)
    callers.wait(20)
    with httpx.Client(base_url=server.url) as client:
        server.process.send_signal(signal.SIGTERM)
        _until(lambda: client.get("/v2/health/ready").status_code == 503)
        said = client.get("/v2/health/ready")
        assert "shutting down" in said.json()["error"]
        assert said.headers["connection"] == "close"
    assert server.process.wait(20) == 0
    callers.stop()
    assert callers.failures == []


def test_a_killed_server_comes_back_with_the_same_answers(kept):
    server = kept.server()
    expected = server.answer("encoder", ASKED)
    callers = Callers(server.url)
    callers.wait(20)
    server.process.kill()
    server.process.wait()
    callers.stop()
    assert kept.server().answer("encoder", ASKED) == expected


def refused(*packages, place=None, part="all"):
    """Return why packages are not served."""
    with pytest.raises(IntentError) as error:
        asyncio.run(Registry([*packages], place or Place(), part).load_all())
    return str(error.value)


def test_what_cannot_be_served_is_named(made, tmp_path):
    package = tmp_path / "encoder"
    shutil.copytree(made.package("encoder-finetuned"), package)
    weights = package / "encoder" / "model.safetensors"
    content = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(content[:1000])
    assert "model.safetensors: damaged: 1000 bytes" in refused(package)
    assert "no package" in refused(tmp_path)
    assert "say --model-dir" in refused()
    assert "are both encoder-finetuned" in refused(package, made.package("encoder-finetuned"))
    suggestions = made.package("suggestions-finetuned")
    assert "reads dataset finetuned of a store: say --store" in refused(suggestions)
    assert "serves only ranker" in refused(made.package("encoder-finetuned"), part="predictor")


@pytest.mark.parametrize(
    ("name", "changes", "why"),
    [
        ("encoder-finetuned", {"encoder": "another"}, "its encoder is"),
        ("encoder-finetuned", {"dimension": 8}, "its dimension is"),
        ("suggestions-finetuned", {"dimension": 8}, "its dimension is"),
        ("ranker-full-vector", {"encoder": "another"}, "reads vectors of encoder"),
        ("audience-exact", {"encoder": "another"}, "its encoder is"),
    ],
)
def test_a_package_that_is_not_what_it_says_is_refused(made, tmp_path, name, changes, why):
    package = tmp_path / name
    shutil.copytree(made.package(name), package)
    about = json.loads((package / "variant.json").read_text())
    (package / "variant.json").unlink()
    (package / "variant.json").write_text(json.dumps(about | changes))
    assert why in refused(package, place=Place(store=made.store))


def test_vectors_of_another_encoder_make_a_model_unready_until_its_own_are_back(made, tmp_path):
    store = f"lmdb:{tmp_path / 'store'}"
    package, entities = made.package("suggestions-finetuned"), made.home / "entities"
    own = made.members()
    other, narrow = tmp_path / "other", tmp_path / "narrow"
    save_member_vectors(other, own._replace(encoder="another", closed={}))
    save_member_vectors(narrow, MemberVectors(own.member_ids, own.vectors[:, :8], {}, own.encoder))
    times = iter(range(1_700_000_000_000_000, 1_700_000_000_000_100))

    def pushed(vectors):
        push(store, "finetuned", Source(vectors, entities), data_time=next(times))

    asked = {"member_id": own.member_ids[0].as_py()}
    with serving(tmp_path, [package], "--store", store, wait=False) as server:

        def unready(why):
            def said():
                try:
                    return why in server.http.get("/v2/health/ready").text
                except httpx.TransportError:
                    return False

            _until(said)
            refused = server.ask("suggestions", asked)
            assert refused.status_code == 503
            assert why in refused.json()["error"]

        unready("no store here; push to it first")
        pushed(made.home / "members")
        server.wait_ready()
        assert server.answer("suggestions", asked)[0]["source"] == "store"
        pushed(other)
        unready("dataset finetuned holds vectors of encoder another")
        pushed(narrow)
        unready("dataset finetuned holds vectors of 8 dimensions")
        pushed(made.home / "members")
        server.wait_ready()


def _until(true, seconds=180):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
