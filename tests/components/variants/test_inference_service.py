"""The InferenceService of a variant is one that KServe accepts."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from components.variants.inference_service import inference_service

CHECK = Path(__file__).parents[4] / "shared" / "tools" / "check_manifests.py"


def test_it_is_named_after_the_variant_and_loads_its_package(package):
    about = package(encoder="v1", dimension=8).about
    manifest = yaml.safe_load(inference_service(about, "gs://models/x"))
    assert manifest["metadata"]["name"] == "ranker-full"
    assert manifest["metadata"]["labels"]["intent-store.dev/service"] == "ranker"
    assert manifest["metadata"]["annotations"]["intent-store.dev/version"] == about.version
    assert manifest["spec"]["predictor"]["model"]["storageUri"] == "gs://models/x"


def test_nobody_reaches_it_but_through_the_router(package):
    manifest = yaml.safe_load(inference_service(package().about, "gs://models/x"))
    assert manifest["metadata"]["labels"]["networking.kserve.io/visibility"] == "cluster-local"


def test_what_only_the_site_knows_comes_from_the_environment(package, monkeypatch):
    about = package().about
    predictor = yaml.safe_load(inference_service(about, "gs://models/x"))["spec"]["predictor"]
    assert predictor["serviceAccountName"] == "intent-store-serving"
    assert predictor["model"]["runtime"] == "intent-store"
    monkeypatch.setenv("INTENT_STORE_RELEASE", "mine")
    monkeypatch.setenv("INTENT_STORE_WORK_CLAIM", "mine-work")
    manifest = yaml.safe_load(inference_service(about, "file:///intent/registry/x"))
    assert manifest["metadata"]["labels"]["app.kubernetes.io/instance"] == "mine"
    predictor = manifest["spec"]["predictor"]
    assert predictor["serviceAccountName"] == "mine-serving"
    assert predictor["model"]["runtime"] == "mine"
    assert predictor["model"]["storageUri"] == "pvc://mine-work/registry/x"
    elsewhere = yaml.safe_load(inference_service(about, "file:///data/x"))
    assert elsewhere["spec"]["predictor"]["model"]["storageUri"] == "file:///data/x"


@pytest.mark.parametrize("release", ["newest", "kubeflow-26.03"])
def test_its_fields_are_those_of_the_resource_definition(package, tmp_path, release):
    if not CHECK.exists():
        pytest.skip("the upstream resource definitions are not on this machine")
    file = tmp_path / "service.yaml"
    file.write_text(inference_service(package().about, "gs://models/x"))
    done = subprocess.run(
        [sys.executable, CHECK, "--release", release, file], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
