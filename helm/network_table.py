"""Write docs/network.md from the rendered NetworkPolicies: `python -m helm.network_table`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from helm.chart import CHART, NAMESPACE, RELEASE, render
from helm.network import End, Network

PAGE = Path(__file__).resolve().parents[1] / "docs" / "network.md"
VALUES = {
    "nearline": {"enabled": True, "brokers": "kafka:9092", "topic": "actions"},
    "storage": {"registry": "gs://bucket/registry", "exposures": "gs://bucket/exposures"},
}
"""Everything that talks to anybody."""
NAMESPACES = {
    name: {"kubernetes.io/metadata.name": name}
    for name in (NAMESPACE, "monitoring", "kube-system", "another")
}
_OUTSIDE = (
    ("DNS", End("DNS", "kube-system", {"k8s-app": "kube-dns"}), 53, "UDP"),
    ("API server", End("API server", address="10.0.0.1"), 443, "TCP"),
    ("buckets", End("buckets", address="203.0.113.7"), 443, "TCP"),
    ("metadata server", End("metadata", address="169.254.169.254"), 80, "TCP"),
    ("Kafka", End("Kafka", address="203.0.113.9"), 9092, "TCP"),
    ("anything else", End("web", address="203.0.113.8"), 8443, "TCP"),
)
_HEAD = f"""\
# Who may talk to whom

Written by `make manifests` from the NetworkPolicies of the chart, rendered into the namespace
`{NAMESPACE}` with the nearline consumer, with buckets, and else its own values. A cell says yes
when both sides' policies allow the connection. A cluster whose network plug-in does not enforce
NetworkPolicies allows everything.

"""
_TAIL = """
Narrow or widen it by values (`docs/values.md`): `networkPolicies.clients` for callers of the router
outside its namespace, `networkPolicies.prometheus` and `.dns` for where those run, and the `cidrs`
of `apiServer`, `buckets`, `kafka` and `store`. The ports of the API server are open to any address
as long as `apiServer.cidrs` is: its address is the cluster's own and differs between clusters, and
buckets' port 443 cannot be told from it. "pipeline steps" are pods of runs in the same namespace;
Kubeflow's own policies hold for what else they reach.
"""


def workloads(objects: list[dict[str, Any]], values: dict[str, Any]) -> list[End]:
    """List the pods that the chart's resources lead to, and those that call them.

    Args:
        objects: as rendered.
        values: labels of pipeline steps are taken from it.
    """
    found = []
    for each in objects:
        if each["kind"] in ("Deployment", "StatefulSet"):
            found.append(_pod(each["spec"]["template"]))
        elif each["kind"] == "Pod":
            found.append(_pod(each))
        elif each["kind"] == "TrainingRuntime":
            (job,) = each["spec"]["template"]["spec"]["replicatedJobs"]
            found.append(_pod(job["template"]["spec"]["template"]))
    about = {"app.kubernetes.io/name": RELEASE, "app.kubernetes.io/instance": RELEASE}
    about["app.kubernetes.io/part-of"] = RELEASE
    model = about | {"app.kubernetes.io/component": "model", "intent-store.dev/service": "ranker"}
    found.append(End("models", NAMESPACE, model, {"http": 8080, "grpc": 9000}))
    found.append(End("pipeline steps", NAMESPACE, values["pipelines"]["podLabels"]))
    found.append(End("other pods of the namespace", NAMESPACE, {"app": "client"}))
    found.append(End("Prometheus", "monitoring", {"app": "prometheus"}))
    found.append(End("pods of other namespaces", "another", {"app": "stranger"}))
    return sorted(found, key=lambda pod: _ORDER.index(pod.name))


def network(objects: list[dict[str, Any]]) -> Network:
    """Return the policies among rendered objects."""
    return Network([each for each in objects if each["kind"] == "NetworkPolicy"], NAMESPACES)


def page() -> str:
    """Return the whole page."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    objects = [each.object for each in render(VALUES)]
    pods, policies = workloads(objects, values), network(objects)
    return (
        _HEAD + "\n".join([*_inside(pods, policies), "", *_outside(pods, policies)]) + "\n" + _TAIL
    )


def main() -> None:
    """Write it."""
    PAGE.write_text(page())


def _inside(pods: list[End], policies: Network) -> Iterator[str]:
    targets = [(pod, port) for pod in pods for port in _PORTS.get(pod.name, ())]
    yield "## Between workloads"
    yield ""
    yield "| From | " + " | ".join(f"{pod.name} {port}" for pod, port in targets) + " |"
    yield "|---|" + "---|" * len(targets)
    for source in pods:
        cells = [_said(policies.allows(source, pod, port)) for pod, port in targets]
        yield f"| {source.name} | " + " | ".join(cells) + " |"


def _outside(pods: list[End], policies: Network) -> Iterator[str]:
    yield "## To others"
    yield ""
    heads = (f"{name} {port}/{protocol}" for name, _, port, protocol in _OUTSIDE)
    yield "| From | " + " | ".join(heads) + " |"
    yield "|---|" + "---|" * len(_OUTSIDE)
    for source in pods:
        if source.name in _OURS:
            cells = [
                _said(policies.allows(source, end, port, protocol))
                for _, end, port, protocol in _OUTSIDE
            ]
            yield f"| {source.name} | " + " | ".join(cells) + " |"


def _pod(template: dict[str, Any]) -> End:
    labels = template["metadata"]["labels"]
    ports = {
        port["name"]: port["containerPort"]
        for container in template["spec"]["containers"]
        for port in container.get("ports", ())
    }
    return End(labels["app.kubernetes.io/component"], NAMESPACE, labels, ports)


def _said(allowed: bool) -> str:
    return "yes" if allowed else "no"


_OURS = ("router", "models", "nearline", "redis", "trainer", "test")
_ORDER = (
    *_OURS,
    "pipeline steps",
    "other pods of the namespace",
    "Prometheus",
    "pods of other namespaces",
)
_PORTS = {
    "router": (8080, 9000),
    "models": (8080, 9000),
    "nearline": (9090,),
    "redis": (6379,),
    "trainer": (29500,),
}


if __name__ == "__main__":
    main()
