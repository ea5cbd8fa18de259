"""The serving image: built, and run as a cluster runs it."""

import time
from contextlib import contextmanager

import httpx
import pytest
import yaml

from components.activity.config import JOBS, ActivityConfig, SplitConfig
from components.activity.sessions import write_sessions
from components.marketplace.config import MarketplaceConfig
from components.marketplace.generate import generate
from components.text.config import TextConfig
from components.text.vocabulary import train_vocabulary
from tests.images.build import RECIPES, TREE
from tests.images.conftest import check_config, run, running
from tests.images.content import carried, secrets, unwanted
from tests.serving.router.conftest import write_manifest
from tests.serving.router.upstream import Upstream
from tests.serving.run import Made, free_port, package_encoder

pytestmark = pytest.mark.timeout(3600)  # The first of them builds the image.

TRAINING = (
    "fasttext",
    "kfp",
    "matplotlib",
    "model_registry",
    "pyspark",
    "pytest",
    "sklearn",
    "statsmodels",
    "tensorflow_ranking",
    "tf_keras",
    "transformers",
)
COMPILERS = ("cc", "gcc", "g++", "clang", "javac", "java", "make", "nvcc")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """An encoder's package, with random weights."""
    home = tmp_path_factory.mktemp("packaged")
    market = MarketplaceConfig(members=40, occupations=8, companies=32, postings=200, workers=1)
    generate(market, home / "feed", home / "truth", seed=1)
    write_sessions(home / "feed" / "actions", home / "sessions", ActivityConfig(partitions=1))
    train_vocabulary(
        home / "sessions",
        home / "vocabulary",
        TextConfig(vocabulary_size=600),
        JOBS,
        split=SplitConfig(validation=0.3, test=0.3),
        seed=1,
    )
    made = package_encoder(Made(home, home, ""), home / "encoder-tiny", seed=1)
    for path in made.rglob("*"):  # weights are written for their owner alone
        path.chmod(0o755 if path.is_dir() else 0o644)
    return made


@contextmanager
def answering(url, process, log, seconds=120):
    """Wait until a server answers; give a client of it."""
    with httpx.Client(base_url=url, timeout=20) as client:
        end = time.monotonic() + seconds
        while True:
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < end, log.read_text()[-3000:]
            try:
                client.get("/").read()
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield client


def until_ready(client, path, seconds=120):
    end = time.monotonic() + seconds
    while client.get(path).status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_it_is_built_and_its_size_is_told(serve_image, gigabytes):
    assert gigabytes(RECIPES["serve"].repository, serve_image) < 3.5


def test_it_says_what_it_is_and_runs_as_nobody_in_particular(serve_image):
    check_config(serve_image.config)


def test_a_model_server_answers_and_is_healthy(serve_image, package, tmp_path):
    port = free_port()
    words = ["python", "-m", "serving.server", "--model-dir", "/mnt/models"]
    words += ["--host", "127.0.0.1", "--http-port", str(port), "--grpc-port", str(free_port())]
    url, log = f"http://127.0.0.1:{port}", tmp_path / "log"
    with running(serve_image, *words, log=log, mounts={package: "/mnt/models"}) as process:
        with answering(url, process, log) as client:
            until_ready(client, "/v2/health/ready")
            asked = {"instances": [{"text": "search nurse"}]}
            answer = client.post("/v1/models/encoder:predict", json=asked)
        assert answer.status_code == 200, answer.text
        health = serve_image.config["Healthcheck"]["Test"][1:]
        told = {"environment": {"INTENT_HEALTH": f"{url}/v2/health/live"}, "entry": False}
        assert run(serve_image, *health, **told).returncode == 0
    assert run(serve_image, *health, **told).returncode != 0
    assert len(answer.json()["predictions"][0]["vector"]) == 32  # of two layers


def test_the_router_routes_with_the_images_nginx(serve_image, shared, tmp_path):
    upstream, port = Upstream("ranker-plain"), free_port()
    (shared / "experiments").mkdir()
    write_manifest(
        shared / "experiments",
        variants=[{"name": "plain", "inferenceService": "ranker-plain"},
                  {"name": "full", "inferenceService": "ranker-plain", "percent": 50}],
    )  # fmt: skip
    upstreams = {"ranker-plain": {"http": upstream.address}}
    (shared / "upstreams.yaml").write_text(yaml.safe_dump(upstreams))
    words = ["python", "-m", "serving.router", "--experiments", "/intent/experiments"]
    words += ["--upstreams", "/intent/upstreams.yaml", "--state", "/intent/state"]
    words += ["--listen", f"127.0.0.1:{port}", "--workers", "1"]
    log = tmp_path / "log"
    try:
        with (
            running(serve_image, *words, log=log, mounts={shared: "/intent"}) as process,
            answering(f"http://127.0.0.1:{port}", process, log) as client,
        ):
            until_ready(client, "/status")
            answer = client.post("/v1/models/ranker:predict", headers={"x-member-id": "m1"})
            assert answer.json()["name"] == "ranker-plain"
            assert answer.headers["x-intent-variant"] in ("plain", "full")
    finally:
        upstream.stop()


@pytest.mark.parametrize("process", ["server", "router", "nearline"])
def test_every_process_tells_its_options(serve_image, process):
    done = run(serve_image, "python", "-m", f"serving.{process}", "--help")
    assert done.returncode == 0, done.stderr
    assert "--" in done.stdout


def test_every_process_finds_what_it_imports(serve_image):
    """Also what is imported when a request or a package first needs it, TensorFlow among it."""
    told = '''
import importlib, pkgutil
import serving
for found in pkgutil.walk_packages(serving.__path__, "serving."):
    if not found.name.endswith("__main__") and not found.name.startswith("serving.fortnight"):
        importlib.import_module(found.name)
for name in """
    components.audience.audience components.encoder.graph components.ranking.scorer
    google.cloud.storage kubernetes lightgbm onnxruntime openvino
""".split():
    importlib.import_module(name)
'''
    done = run(serve_image, "python", "-c", told)
    assert done.returncode == 0, done.stderr[-3000:]


def test_it_holds_nothing_that_trains_or_compiles(serve_image):
    (packages,) = serve_image.root.glob("opt/venv/lib/python*/site-packages")
    assert [name for name in TRAINING if (packages / name).exists()] == []
    programs = {name for name in COMPILERS for _ in serve_image.root.glob(f"usr/bin/{name}")}
    assert programs == set()


def test_nothing_but_tmp_can_be_written(serve_image):
    for path in ("/opt/intent/components", "/opt/venv", "/etc", "/var/log/nginx"):
        assert run(serve_image, "touch", f"{path}/new").returncode != 0
    assert run(serve_image, "touch", "/tmp/new").returncode == 0


def test_it_carries_the_code_and_nothing_else_of_the_tree(serve_image):
    assert carried(serve_image.root) == carried(TREE)
    assert unwanted(serve_image.root) == []


def test_it_carries_no_secret(serve_image):
    assert secrets(serve_image) == []
