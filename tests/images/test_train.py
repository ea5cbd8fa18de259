"""The training image: built, and run as a cluster runs it."""

import json
import stat

import duckdb
import pytest

from components.activity.component import cut_sessions
from components.activity.config import ActivityConfig
from components.activity.sessions import write_sessions
from components.marketplace.config import MarketplaceConfig
from components.marketplace.generate import generate
from tests.images.build import RECIPES, TREE
from tests.images.conftest import check_config, run
from tests.images.content import carried, secrets, unwanted

pytestmark = pytest.mark.timeout(3600)  # The first of them builds the image.

CONFIG = ActivityConfig(partitions=2)


@pytest.fixture(scope="module")
def feed(tmp_path_factory):
    home = tmp_path_factory.mktemp("market")
    config = MarketplaceConfig(members=40, occupations=8, companies=32, postings=200, workers=1)
    generate(config, home / "feed", home / "truth", seed=1)
    return home / "feed"


def artifact(name: str) -> dict:
    title = "system.Metrics" if name == "metrics" else "system.Dataset"
    kind = {"schemaTitle": title, "schemaVersion": "0.0.1"}
    return {"artifacts": [{"name": name, "type": kind, "uri": f"/intent/{name}"}]}


def rows(folder) -> list[tuple]:
    found = duckdb.sql(f"FROM read_parquet('{folder}/**/*.parquet') ORDER BY ALL")
    return found.fetchall()


def test_it_is_built_and_its_size_is_told(train_image, gigabytes):
    assert gigabytes(RECIPES["train"].repository, train_image) < 6


def test_it_says_what_it_is_and_runs_as_nobody_in_particular(train_image):
    check_config(train_image.config)


def test_a_pipeline_step_runs_as_kubeflow_starts_it(train_image, feed, shared, tmp_path):
    """The compiled step's own command, its root file system read-only, on a shared volume."""
    container = cut_sessions.component_spec.implementation.container
    message = {
        "inputs": {
            "artifacts": {"feed": artifact("feed")},
            "parameterValues": {"config": CONFIG.model_dump(mode="json"), "job": {}},
        },
        "outputs": {
            "artifacts": {name: artifact(name) for name in ("sessions", "metrics")},
            "outputFile": "/intent/outputs.json",
        },
    }
    given = {"{{$}}": json.dumps(message)}
    words = [given.get(str(word), str(word)) for word in [*container.command, *container.args]]
    mounts = {shared: "/intent", feed: "/intent/feed"}
    done = run(train_image, *words, mounts=mounts, entry=False)
    assert done.returncode == 0, done.stderr[-3000:]
    write_sessions(feed / "actions", tmp_path / "here", CONFIG)
    assert rows(shared / "sessions") == rows(tmp_path / "here")
    assert json.loads((shared / "outputs.json").read_text())["artifacts"]["metrics"]


def test_every_step_finds_what_it_imports(train_image):
    """All our modules are imported; those of GPUs and clusters are among them."""
    told = """
import importlib, pkgutil, sys
import components.ranking.keras  # TensorFlow Ranking's Keras is chosen before any other
for room in ("components", "pipelines", "serving"):
    package = importlib.import_module(room)
    for found in pkgutil.walk_packages(package.__path__, f"{room}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
print("imported", len(sys.modules))
"""
    done = run(train_image, "python", "-c", told)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("imported")


def test_its_command_and_those_of_torch_and_spark_are_on_the_path(train_image):
    told = "intent --help && torchrun --help && spark-submit --version && java -version"
    done = run(train_image, "sh", "-ec", told, environment={"SPARK_LOCAL_IP": "127.0.0.1"})
    assert done.returncode == 0, done.stderr[-3000:]


def test_torch_can_compile_kernels(train_image):
    """torch.compile builds what it fuses with the image's compiler against Python's headers."""
    told = """
import torch
doubled = torch.compile(lambda x: torch.sin(x) + x)(torch.ones(4))
assert torch.allclose(doubled, torch.sin(torch.ones(4)) + 1)
"""
    done = run(train_image, "python", "-c", told)
    assert done.returncode == 0, done.stderr[-3000:]


def test_its_health_check_passes(train_image):
    done = run(train_image, *train_image.config["Healthcheck"]["Test"][1:], entry=False)
    assert done.returncode == 0, done.stderr


def test_nothing_but_tmp_can_be_written(train_image):
    for path in ("/opt/intent/components", "/opt/venv", "/etc", "/var/tmp"):
        assert run(train_image, "touch", f"{path}/new").returncode != 0
    assert run(train_image, "touch", "/tmp/new").returncode == 0


def test_it_carries_the_code_and_nothing_else_of_the_tree(train_image):
    assert carried(train_image.root) == carried(TREE)
    assert unwanted(train_image.root) == []


def test_it_carries_no_secret(train_image):
    assert secrets(train_image) == []


def test_no_program_gains_rights_that_its_caller_has_not(train_image):
    mode = (train_image.root / "usr" / "bin" / "tini").stat().st_mode
    assert not mode & (stat.S_ISUID | stat.S_ISGID)
    assert run(train_image, "id", "-u").stdout == "10001\n"
