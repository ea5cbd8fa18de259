"""Everything the chart can render holds to the schemas of the kinds, and to checkov's rules."""

import json
import subprocess
import sys
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from components.experiments.rules import problems
from helm.chart import CHART, profiles, render
from serving.local.binaries import BinaryError
from tests.cluster.binaries import checkov

ROOT = CHART.parents[1]
CHECKER = ROOT.parent / "shared" / "tools" / "check_manifests.py"
WAIVERS = CHART.parent / "checkov.yaml"
CURRENT = kubernetes_validate.latest_version()
RELEASES = {"newest": "newest", "26.03": "kubeflow-26.03"}
"""Values of kubeflow.release, and what the checker calls them."""
CUSTOM = {
    "gateway.networking.k8s.io",
    "intent-store.dev",
    "keda.sh",
    "kueue.x-k8s.io",
    "monitoring.coreos.com",
    "networking.istio.io",
    "pipelines.kubeflow.org",
    "security.istio.io",
    "serving.kserve.io",
    "trainer.kubeflow.org",
}
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
BUCKET = {"storage": {"registry": "gs://bucket/registry", "exposures": "gs://bucket/exposures"}}
NO_PIPELINES = {"pipelines": {"install": False}}
"""They are long, and the same but for an image's name: one set of values has them."""
RANKER = {
    "service": "ranker",
    "variant": "full",
    "storageUri": "gs://bucket/registry/ranker-full/1",
    "replicas": 2,
}
EXPERIMENT = {
    "name": "ranking",
    "spec": {
        "service": "ranker",
        "salt": "ranking-1",
        "control": "plain",
        "variants": [
            {"name": "plain", "inferenceService": "ranker-plain"},
            {"name": "full", "inferenceService": "ranker-full", "percent": 0},
        ],
    },
}
MUCH = {
    "monitoring": {"enabled": True},
    "nearline": {"enabled": True, "brokers": "kafka:9092", "topic": "actions"},
    "experiments": [EXPERIMENT],
}
EVERYTHING = {
    "mesh": MUCH
    | {
        "pipelines": {"install": True},
        "ingress": {
            "kind": "istio",
            "host": "intent.example.com",
            "gateway": {"name": "public", "namespace": "istio-system"},
        },
        "istio": {"enabled": True, "strictMTLS": True},
        "router": {"autoscaling": {"kind": "keda", "prometheus": "http://prometheus:9090"}},
        "serving": {"autoscaling": {"prometheus": "http://prometheus:9090"}},
        "models": [
            RANKER | {"autoscaling": {"kind": "keda", "maxReplicas": 6, "target": 50}},
            RANKER | {"variant": "split", "split": True},
        ],
        "kueue": {
            "queue": "gpu",
            "createLocalQueue": True,
            "clusterQueue": "gpu",
            "flavors": [
                {
                    "name": "a100",
                    "nodeLabels": {"cloud.google.com/gke-accelerator": "nvidia-tesla-a100"},
                    "quota": {"cpu": "64", "memory": "512Gi", "nvidia.com/gpu": "16"},
                }
            ],
        },
    },
    "gateway": MUCH
    | {
        "ingress": {
            "kind": "gateway",
            "host": "intent.example.com",
            "gateway": {"name": "public", "namespace": "gateways"},
        },
        "router": {"autoscaling": {"kind": "hpa"}},
        "redis": {"tls": {"enabled": True}, "existingSecret": "passwords"},
        "kserve": {"ownServices": True},
        "models": [
            RANKER | {"autoscaling": {"kind": "hpa", "maxReplicas": 6, "target": 70}},
            RANKER | {"variant": "gpu", "gpu": {"count": 1, "nodeSelector": {"pool": "gpu"}}},
        ],
    },
}
"""Two sets of values that together switch everything on."""


@pytest.fixture(scope="module")
def rendered():
    """Everything by release and name: each profile, and both sets of values."""
    found = {}
    for release in RELEASES:
        own = {"kubeflow": {"release": release}}
        for name in profiles():
            values = own | NO_PIPELINES | (BUCKET if name.startswith("gke-") else {})
            found[release, name] = [each.object for each in render(values, profile=name)]
        for name, values in EVERYTHING.items():
            found[release, name] = [each.object for each in render(own | values)]
    return found


def distinct(rendered, release):
    """Give every object of a release once, whatever many sets of values it comes from."""
    found = {
        json.dumps(each, sort_keys=True): each
        for (of, _), objects in rendered.items()
        if of == release
        for each in objects
    }
    return list(found.values())


def group_of(manifest):
    return manifest["apiVersion"].rpartition("/")[0]


def test_kinds_of_kubernetes_hold_to_its_current_schemas(rendered):
    checked = Counter()
    both = distinct(rendered, "newest") + distinct(rendered, "26.03")
    for each in {json.dumps(each): each for each in both}.values():
        if group_of(each) in CUSTOM:
            continue
        try:
            kubernetes_validate.validate(each, CURRENT, strict=True)
        except kubernetes_validate.ValidationError as error:
            pytest.fail(f"{each['kind']} {each['metadata']['name']}: {error.path}: {error.message}")
        checked[each["apiVersion"], each["kind"]] += 1
    # Those that the test cluster's API server does not know.
    assert checked["policy/v1", "PodDisruptionBudget"]
    assert checked["autoscaling/v2", "HorizontalPodAutoscaler"]
    assert not [kind for kind in checked if "beta" in kind[0]]


@pytest.mark.parametrize("release", sorted(RELEASES))
def test_custom_resources_hold_to_the_schemas_and_rules_of_a_release(rendered, release, tmp_path):
    if not CHECKER.is_file():
        pytest.skip(f"{CHECKER}: the schemas of other projects' kinds are not here")
    groups = CUSTOM - {"intent-store.dev"}
    custom = [each for each in distinct(rendered, release) if group_of(each) in groups]
    (tmp_path / "all.yaml").write_text(yaml.dump_all(custom, Dumper=DUMPER))
    command = [sys.executable, CHECKER, "--release", RELEASES[release], tmp_path / "all.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not covered" not in done.stdout, done.stdout
    kinds = {each["kind"] for each in custom}
    assert {"InferenceService", "ServingRuntime", "TrainingRuntime", "PrometheusRule"} <= kinds
    assert {"VirtualService", "HTTPRoute", "GRPCRoute", "ScaledObject", "LocalQueue"} <= kinds


def test_experiments_hold_to_their_own_rules(rendered):
    files = sorted((ROOT / "k8s" / "experiments").rglob("*.yaml"))
    found = [each for objects in rendered.values() for each in objects]
    found += [each for path in files for each in yaml.safe_load_all(path.read_text())]
    experiments = [each for each in found if each["kind"] == "Experiment"]
    assert experiments
    for each in experiments:
        assert problems(each) == [], each["metadata"]["name"]


def test_nothing_but_known_kinds_is_rendered(rendered):
    """A custom kind that no list knows would be checked by nobody."""
    groups = {group_of(each) for objects in rendered.values() for each in objects}
    others = {group for group in groups if "." in group and not group.endswith("k8s.io")}
    assert others <= CUSTOM


def test_checkov_finds_nothing_that_is_not_waived_in_writing(rendered, tmp_path):
    try:
        program = checkov()
    except BinaryError as error:
        pytest.skip(str(error))
    # Nothing for checkov in kinds that it does not know, and much to read.
    known = [each for each in distinct(rendered, "newest") if group_of(each) not in CUSTOM]
    (tmp_path / "all.yaml").write_text(yaml.dump_all(known, Dumper=DUMPER))
    failed = _failed(program, tmp_path)
    waived = [
        (each["check"], pattern)
        for each in yaml.safe_load(WAIVERS.read_text())
        for pattern in each["resources"]
    ]
    unwaived = {
        (check, resource, name)
        for check, resource, name in failed
        if not any(check == known and fnmatch(resource, pattern) for known, pattern in waived)
    }
    assert not unwaived
    idle = [
        (known, pattern)
        for known, pattern in waived
        if not any(check == known and fnmatch(resource, pattern) for check, resource, _ in failed)
    ]
    assert not idle, "a waiver that nothing needs"


def test_every_waiver_has_its_reason():
    for each in yaml.safe_load(WAIVERS.read_text()):
        assert len(each["reason"]) > 40, each["check"]


def _failed(program: Path, folder: Path):
    """Give check, resource and name of what checkov fails, without asking anybody outside."""
    command = [program, "--directory", folder, "--framework", "kubernetes", "--output", "json"]
    done = subprocess.run(
        [*command, "--compact", "--quiet", "--skip-download"],
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 100, "checkov looked at next to nothing"
    return {
        (each["check_id"], each["resource"], each["check_name"])
        for each in report["results"]["failed_checks"]
    }
