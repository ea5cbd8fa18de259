"""Alerts and dashboards ask for what the servers export, and alerts fire when they should."""

import json
import re
import subprocess
import urllib.request
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client import REGISTRY, generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from helm.chart import CHART, render
from helm.dashboards import DASHBOARDS, FOLDER, written
from helm.network import matches
from serving import telemetry
from serving.local.binaries import BinaryError, binary
from serving.nearline.metrics import Metrics
from serving.router.router import Router
from tests.helm.promql import asked
from tests.serving.router.conftest import settings_of, write_manifest, write_upstreams
from tests.serving.router.upstream import Upstream

RULES = sorted((CHART / "rules").glob("*.yaml"))
CASES = sorted((Path(__file__).parent / "rules").glob("*.test.yaml"))
TARGET = {"namespace", "pod", "container", "endpoint", "job", "instance"}
"""Labels that a scrape adds."""
OTHERS = {
    # kube-state-metrics
    "kube_pod_status_phase": {"phase"},
    "kube_pod_container_resource_limits": {"resource"},
    "kube_pod_container_status_restarts_total": set(),
    # the kubelet: containers, volumes
    "container_memory_working_set_bytes": set(),
    "kubelet_volume_stats_used_bytes": {"persistentvolumeclaim"},
    "kubelet_volume_stats_capacity_bytes": {"persistentvolumeclaim"},
    # the Argo controller, from 3.6 on
    "argo_workflows_total_count": {"phase"},
}
"""What rules/platform.yaml may ask for beside our own: others' metrics, by their documentation."""


@pytest.fixture(scope="session")
def promtool():
    try:
        return binary("promtool")
    except BinaryError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def rules():
    """Every rule by its name."""
    groups = [g for path in RULES for g in yaml.safe_load(path.read_text())["groups"]]
    return {
        rule.get("alert") or rule["record"]: rule for group in groups for rule in group["rules"]
    }


@pytest.fixture(scope="module")
def exported(tmp_path_factory, rules):
    """Scrape everything; give the labels of every metric, recorded ones included."""
    found = _router(tmp_path_factory.mktemp("router")) | _models() | _nearline()
    for name, rule in rules.items():
        if "record" in rule:
            found[name] = asked(rule["expr"]).grouped - {"le"}
    return found


def _labels(text):
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def _router(home):
    upstreams = {name: Upstream(name) for name in ("ranker-plain", "ranker-full", "encoder-only")}
    (home / "experiments").mkdir()
    write_manifest(home / "experiments")
    write_upstreams(home, upstreams)
    settings = settings_of(home)
    router = Router(settings)
    router.start()
    try:
        url, headers = f"http://{settings.listen}", {"x-member-id": "m1"}
        httpx.post(f"{url}/v1/models/ranker:predict", json={"instances": []}, headers=headers)
        return _labels(httpx.get(f"{url}/metrics").text)
    finally:
        router.stop()
        router.run()
        for upstream in upstreams.values():
            upstream.stop()


def _models():
    call = telemetry.Call("rest", {}, service="ranker", model="ranker-full", instances=1)
    call.finish("200", 0.01)
    telemetry.READY.labels("ranker-full", "1").set(1)
    telemetry.LOADS.labels("ranker-full", "loaded").inc()
    telemetry.LOOKUPS.labels("finetuned", "answered").inc()
    telemetry.BATCH.labels("1").observe(1)
    return _labels(generate_latest(REGISTRY).decode())


def _nearline():
    metrics = Metrics()
    metrics.dead.labels("malformed row").inc()
    metrics.written.labels("written").inc()
    metrics.failures.labels("store").inc()
    metrics.lag.labels(0).set(1)
    metrics.behind.labels(0).set(1)
    server, _ = start_http_server(0, "127.0.0.1", registry=metrics.registry)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
            return _labels(answer.read().decode())
    finally:
        server.shutdown()
        server.server_close()


def queries(dashboard):
    """Give title, legend and expression of every query, with Grafana's variables filled in."""
    for panel in json.loads((FOLDER / f"{dashboard.name}.json").read_text())["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"].replace("$namespace", "a").replace("$__rate_interval", "5m")
            yield panel["title"], target["legendFormat"], text


def test_rules_ask_only_for_metrics_and_labels_that_servers_export(exported, rules):
    for name, rule in rules.items():
        file = next(path for path in RULES if name in path.read_text())
        known = exported | (OTHERS if file.stem == "platform" else {})
        _assert_known(name, rule["expr"], known)


def test_dashboards_ask_only_for_metrics_and_labels_that_servers_export(exported):
    for dashboard in DASHBOARDS:
        assert dashboard.namespaces in exported
        for title, legend, expression in queries(dashboard):
            known = _assert_known(f"{dashboard.name}: {title}", expression, exported)
            shown = set(re.findall(r"{{(\w+)}}", legend))
            assert shown <= known, f"{title}: no such label: {shown - known}"


def test_every_metric_of_our_servers_is_on_a_dashboard_or_in_a_rule(exported, rules):
    used = {metric for rule in rules.values() for metric in asked(rule["expr"]).metrics}
    for dashboard in DASHBOARDS:
        for _, _, expression in queries(dashboard):
            used |= set(asked(expression).metrics)
    ours = {name for name in exported if name.startswith("intent_") and ":" not in name}
    whole = re.compile(r"_(created|total|bucket|sum|count)$")
    unused = {whole.sub("", name) for name in ours} - {whole.sub("", name) for name in used}
    # Counters of one nginx process begin anew with every configuration: of use to a person only.
    assert {name for name in unused if not name.startswith(_OF_ONE_NGINX)} <= set()


_OF_ONE_NGINX = ("intent_router_connections_", "intent_router_nginx_")


def test_no_label_of_ours_is_pushed_aside_by_a_label_of_the_scrape(exported):
    ours = {label for name, labels in exported.items() if ":" not in name for label in labels}
    assert not ours & TARGET
    for each in render({"monitoring": {"enabled": True}}):
        if each.object["kind"] == "ServiceMonitor":  # adds the Kubernetes Service's name
            (endpoint,) = each.object["spec"]["endpoints"]
            assert {"action": "labeldrop", "regex": "service"} in endpoint["relabelings"]


def test_every_alert_says_what_happened_and_what_to_do(rules):
    for name, rule in rules.items():
        if "record" in rule:
            continue
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert {"summary", "description", "runbook"} <= set(rule["annotations"]), name
        assert len(rule["annotations"]["runbook"]) > 60, name


def test_alerts_name_only_labels_that_their_expressions_keep(exported, rules):
    for name, rule in rules.items():
        if "record" in rule:
            continue
        parts = asked(rule["expr"])
        kept = parts.grouped or set.union(*(exported[metric] for metric in parts.metrics))
        used = set(re.findall(r"\$labels\.(\w+)", "".join(rule["annotations"].values())))
        assert used <= kept, f"{name}: {used - kept}"


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_rules_hold(promtool, path):
    done = subprocess.run(
        [promtool, "check", "rules", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name.partition(".")[0])
def test_alerts_fire_when_they_should_and_only_then(promtool, path):
    done = subprocess.run(
        [promtool, "test", "rules", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_to_fire(rules):
    fired = "".join(path.read_text() for path in CASES)
    silent = [n for n, r in rules.items() if "alert" in r and f'alertname="{n}"' not in fired]
    assert not silent


def test_expressions_of_dashboards_are_promql(promtool, tmp_path):
    found = [
        {"record": f"panel:{number}", "expr": expression}
        for number, (_, _, expression) in enumerate(q for d in DASHBOARDS for q in queries(d))
    ]
    (tmp_path / "rules.yaml").write_text(
        yaml.safe_dump({"groups": [{"name": "panels", "rules": found}]})
    )
    done = subprocess.run(
        [promtool, "check", "rules", tmp_path / "rules.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_dashboards_are_as_their_code_says():
    assert {path.stem for path in FOLDER.glob("*.json")} == {d.name for d in DASHBOARDS}
    for dashboard in DASHBOARDS:
        text = (FOLDER / f"{dashboard.name}.json").read_text()
        assert text == written(dashboard), "python -m helm.dashboards"


@pytest.fixture(scope="module")
def monitored():
    """The chart with monitoring, and everything that can be monitored."""
    values = {
        "monitoring": {"enabled": True, "rules": {"labels": {"release": "prometheus"}}},
        "nearline": {"enabled": True, "brokers": "kafka:9092", "topic": "actions"},
    }
    return [each.object for each in render(values)]


def of_kind(objects, kind):
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


def test_the_chart_installs_rules_and_dashboards_as_they_were_tested(monitored):
    rules = of_kind(monitored, "PrometheusRule")
    assert {name.removeprefix("intent-store-") for name in rules} == {p.stem for p in RULES}
    for path in RULES:
        rule = rules[f"intent-store-{path.stem}"]
        assert rule["spec"] == yaml.safe_load(path.read_text())
        assert rule["metadata"]["labels"]["release"] == "prometheus"
    boards = of_kind(monitored, "ConfigMap")
    for dashboard in DASHBOARDS:
        board = boards[f"intent-store-dashboard-{dashboard.name}"]
        assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
        (content,) = board["data"].values()
        assert json.loads(content) == json.loads(written(dashboard))


def test_every_monitor_finds_a_workload_and_a_port_of_it(monitored):
    found = {}
    for name, monitor in of_kind(monitored, "PodMonitor").items():
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        ports = _pod_ports(monitored)
        found[name] = _ports_of(ports, monitor["spec"]["selector"], endpoint["port"])
    for name, monitor in of_kind(monitored, "ServiceMonitor").items():
        (endpoint,) = monitor["spec"]["endpoints"]
        services = of_kind(monitored, "Service").values()
        ports = [(each["metadata"]["labels"], each["spec"]["ports"]) for each in services]
        found[name] = _ports_of(ports, monitor["spec"]["selector"], endpoint["port"])
    assert set(found) == {"intent-store-router", "intent-store-model", "intent-store-nearline"}
    assert all(count == 1 for count in found.values()), found


def test_autoscalers_ask_only_for_metrics_and_labels_that_servers_export(exported):
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    queries = (
        values["router"]["autoscaling"]["query"],
        values["serving"]["autoscaling"]["query"].replace("{{name}}", "a"),
    )
    for query in queries:
        _assert_known(query, query.replace("{{namespace}}", "a"), exported)


def _pod_ports(objects):
    """Give labels and ports of every pod; KServe's have those of variant and runtime."""
    found = [
        (each["spec"]["template"]["metadata"]["labels"], each["spec"]["template"]["spec"])
        for each in objects
        if each["kind"] in ("Deployment", "StatefulSet")
    ]
    for runtime in of_kind(objects, "ServingRuntime").values():
        variant = {"intent-store.dev/service": "ranker", "intent-store.dev/variant": "full"}
        found.append((runtime["spec"]["labels"] | variant, runtime["spec"]))
    return [
        (labels, [port for each in pod["containers"] for port in each.get("ports", ())])
        for labels, pod in found
    ]


def _ports_of(places, selector, name):
    chosen = [ports for labels, ports in places if matches(selector, labels)]
    return sum(port["name"] == name for ports in chosen for port in ports)


def _assert_known(name, expression, exported):
    """Give the labels that an expression may show."""
    parts = asked(expression)
    assert parts.metrics, name
    labels = set(TARGET)
    for metric, chosen in parts.metrics.items():
        assert metric in exported, f"{name}: nobody exports {metric}"
        wrong = chosen - exported[metric] - TARGET
        assert not wrong, f"{name}: {metric} has no label {wrong}"
        labels |= exported[metric]
    assert parts.grouped <= labels, f"{name}: no metric has {parts.grouped - labels}"
    return parts.grouped or labels
