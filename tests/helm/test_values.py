"""Wrong values are refused by name, and right ones mean what the schema says of them."""

import copy
import json
import re

import pytest
import yaml

from helm.chart import APIS, CHART, profiles, render

ON_A_CLUSTER = ("apiregistration.k8s.io/v1",)
"""What only a real API server serves: the chart tells by it that it can ask one."""
NEIGHBOURS = (
    "serving.kserve.io/v1alpha1/ServingRuntime",
    "trainer.kubeflow.org/v1alpha1/TrainingRuntime",
)
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
MODEL = {"service": "ranker", "variant": "full", "storageUri": "gs://bucket/ranker-full/1"}
BUCKET = {"storage": {"registry": "gs://bucket/registry", "exposures": "gs://bucket/exposures"}}


def schema():
    return json.loads((CHART / "values.schema.json").read_text())


def experiment(**percent):
    changed = copy.deepcopy(EXPERIMENT)
    changed["spec"]["variants"][1] |= percent
    return {"experiments": [changed]}


WRONG = {
    "a typo at the top": ({"routr": {"replicas": 2}}, "routr"),
    "a typo below": ({"router": {"replica": 2}}, "/router.*replica"),
    "a typo in an experiment": (experiment(percents=1), "/experiments/0.*percents"),
    "an unknown profile": ({"profile": "gke-v1000"}, "/profile.*gke-v100"),
    "an unknown release": ({"kubeflow": {"release": "25.03"}}, "/kubeflow/release.*26.03"),
    "a release without quotes": ({"kubeflow": {"release": 26.03}}, "/kubeflow/release.*string"),
    "120 percent": (experiment(percent=120), "/experiments/0/spec/variants/1/percent.*100"),
    "three decimals": (experiment(percent=0.005), "/experiments/0/spec/variants/1/percent"),
    "below nothing": (experiment(percent=-1), "/experiments/0/spec/variants/1/percent"),
    "a registry without bucket": ({"storage": {"registry": "gs:///variants"}}, "/storage/registry"),
    "a folder that is on no volume": ({"storage": {"exposures": "/tmp/x"}}, "/storage/exposures"),
    "a bucket that a profile needs": (
        {"profile": "gke-a100"},
        r"storage\.(registry|exposures) must be in a bucket with profile gke-a100",
    ),
    "a service that there is none of": (
        {"models": [MODEL | {"service": "embedder"}]},
        "/models/0/service.*encoder",
    ),
    "a package on a laptop": (
        {"models": [MODEL | {"storageUri": "file:///tmp/ranker"}]},
        "/models/0/storageUri",
    ),
    "a split that only rankers have": (
        {"models": [MODEL | {"service": "encoder", "split": True}]},
        "/models/0/service.*ranker",
    ),
    "keda without Prometheus": (
        {"router": {"autoscaling": {"kind": "keda"}}},
        "/router/autoscaling/prometheus",
    ),
    "keda for a model without Prometheus": (
        {"models": [MODEL | {"autoscaling": {"kind": "keda", "maxReplicas": 2, "target": 5}}]},
        "serving.autoscaling.prometheus must be given",
    ),
    "a consumer without topic": (
        {"nearline": {"enabled": True, "brokers": "kafka:9092"}},
        "/nearline/topic",
    ),
    "an ingress without host": ({"ingress": {"kind": "istio"}}, "/ingress/host"),
    "a queue without name": ({"kueue": {"createLocalQueue": True}}, "/kueue/queue"),
    "no store": ({"redis": {"enabled": False}}, "store.url must be given"),
    "two stores": ({"store": {"url": "redis://elsewhere:6379/0"}}, "store.url is the address"),
    "a password in a URL": (
        {"redis": {"enabled": False}, "store": {"url": "redis://u:secret@elsewhere:6379/0"}},
        "/store/url",
    ),
    "a folder shared between namespaces": (
        {"pipelines": {"namespace": "team"}},
        r"storage\.\w+ is a folder of a volume, which pods of intent-store and team cannot share",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_refused_by_its_name(case):
    values, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        render(values)


@pytest.mark.parametrize("percent", [0, 0.01, 0.29, 33.33, 57.14, 100])
def test_every_percentage_with_two_decimals_is_taken(percent):
    (found,) = [
        each.object
        for each in render(experiment(percent=percent))
        if each.object["kind"] == "Experiment"
    ]
    assert found["spec"]["variants"][1]["percent"] == percent


def test_no_value_goes_without_description_and_no_object_takes_unknown_keys():
    lacking, loose = [], []

    def look(at, node):
        # The experiments' part is the resource's own schema, held to it below.
        if at.startswith("/experiments/0/spec/"):
            return
        if "description" not in node and not at.endswith(("/0", "/*")):
            lacking.append(at)
        if node.get("type") == "object" and node.get("additionalProperties", True) is True:
            loose.append(at)
        for name, below in node.get("properties", {}).items():
            look(f"{at}/{name}", below)
        if "items" in node:
            look(f"{at}/0", node["items"])

    whole = schema()
    for name, node in whole["properties"].items():
        look(f"/{name}", node)
    assert not lacking
    assert whole["additionalProperties"] is False
    # Kubernetes' own, of which a cluster knows best what is right.
    assert {at.rpartition("/")[2] for at in loose} <= {
        "affinity",
        "namespaceSelector",
        "podSelector",
    }


def test_the_schema_knows_every_value_and_every_value_has_its_default():
    def names(node):
        below = node.get("properties", {})
        return {name: names(each) for name, each in below.items()} if below else None

    def shape(value, like):
        if like is None or not isinstance(value, dict):
            return None
        return {name: shape(each, like.get(name)) for name, each in value.items()}

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    known = names(schema())
    # Fields without default: InferenceServices that answer where there is no experiment.
    assert known["router"]["upstreams"].pop("services")
    values["router"]["upstreams"].pop("services")
    assert shape(values, known) == known


def test_an_experiment_among_the_values_is_held_to_the_schema_of_the_resource():
    crd = yaml.safe_load((CHART / "files" / "experiment.crd.yaml").read_text())
    own = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    given = schema()["properties"]["experiments"]["items"]["properties"]["spec"]

    def strict(node):
        if isinstance(node, list):
            return [strict(each) for each in node]
        if not isinstance(node, dict):
            return node
        kept = {k: strict(v) for k, v in node.items() if not k.startswith("x-kubernetes-")}
        rules = node.get("x-kubernetes-validations", ())
        if any("two decimals" in rule["message"] for rule in rules):
            kept["multipleOf"] = 0.01
        if kept.get("type") == "object" and "properties" in kept:
            kept["additionalProperties"] = False
        return kept

    assert given == strict(own) | {"description": given["description"]}


@pytest.mark.parametrize("name", profiles())
def test_a_profile_names_itself(name):
    assert yaml.safe_load((CHART / "profiles" / f"{name}.yaml").read_text())["profile"] == name


ASKED = {
    "router.autoscaling.kind: keda": {
        "router": {"autoscaling": {"kind": "keda", "prometheus": "http://prometheus:9090"}}
    },
    "istio.enabled": {"istio": {"enabled": True}},
    "pipelines.install": {"pipelines": {"install": True}},
    "models": {"models": [MODEL]},
    "monitoring.rules.enabled": {
        "monitoring": {"enabled": True, "serviceMonitors": {"enabled": False}}
    },
}


@pytest.mark.parametrize("value", ASKED)
def test_a_kind_that_a_cluster_lacks_is_refused_with_the_value_that_asks_for_it(value):
    with pytest.raises(ValueError, match=f"{re.escape(value)} asks for .*does not serve"):
        render(ASKED[value], apis=(*APIS, *ON_A_CLUSTER, *NEIGHBOURS))
    assert render(ASKED[value], apis=(*APIS, *ON_A_CLUSTER, *NEIGHBOURS, *of_neighbours()))
    assert render(ASKED[value], apis=())  # without a cluster nobody can tell


def of_neighbours():
    return (
        "keda.sh/v1alpha1/ScaledObject",
        "security.istio.io/v1/AuthorizationPolicy",
        "pipelines.kubeflow.org/v2beta1/Pipeline",
        "serving.kserve.io/v1beta1/InferenceService",
        "monitoring.coreos.com/v1/PrometheusRule",
    )
