"""What the chart renders is what our processes take, and what a careful cluster lets run."""

import base64
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import redis
import yaml

from components.experiments.rules import problems
from helm.chart import APIS, CHART, render
from serving import check, fetch, nearline, server
from serving.local.binaries import binary
from serving.router.upstreams import load_upstreams
from tests.components.store.servers import free_port
from tests.helm.test_values import BUCKET, EXPERIMENT, MODEL, NEIGHBOURS, ON_A_CLUSTER

ROOT = CHART.parents[1]
CLUSTER = (*APIS, *ON_A_CLUSTER, *NEIGHBOURS, "serving.kserve.io/v1beta1/InferenceService")
NEARLINE = {
    "enabled": True,
    "brokers": "kafka:9092",
    "topic": "actions",
    "deadLetters": "bad-actions",
    "kafkaSecret": "kafka",
    "snapshot": "gs://bucket/runs/last",
}
MUCH = BUCKET | {
    "nearline": NEARLINE,
    "redis": {"tls": {"enabled": True}},
    "images": {"registry": "registry.internal/team/", "pullSecrets": ["registry"]},
    "models": [MODEL, MODEL | {"variant": "split", "split": True}],
    "experiments": [EXPERIMENT],
    "pipelines": {"install": True},
}


@pytest.fixture(scope="module")
def plain():
    """The chart's own values."""
    return [each.object for each in render()]


@pytest.fixture(scope="module")
def much():
    """Nearly everything switched on."""
    return [each.object for each in render(MUCH)]


def only(objects, kind, name):
    (found,) = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found


def pods(objects):
    """Give every pod that is made, with the name of what makes it."""
    for each in objects:
        kind, spec = each["kind"], each.get("spec", {})
        name = f"{kind} {each['metadata']['name']}"
        if kind in ("Deployment", "StatefulSet"):
            yield name, spec["template"]["spec"]
        elif kind == "Pod":
            yield name, spec
        elif kind == "TrainingRuntime":
            for job in spec["template"]["spec"]["replicatedJobs"]:
                yield name, job["template"]["spec"]["template"]["spec"]


def containers(objects):
    """Give every container with its pod's name, those of KServe's kinds as well."""
    for name, pod in pods(objects):
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            yield name, container
    for each in objects:
        if each["kind"] == "ServingRuntime":
            yield "ServingRuntime", each["spec"]["containers"][0]
        if each["kind"] == "InferenceService" and "transformer" in each["spec"]:
            yield each["metadata"]["name"], each["spec"]["transformer"]["containers"][0]


def command(objects, kind, name, container=0):
    """Give the arguments that a container's process gets."""
    (pod,) = [pod for of, pod in pods(objects) if of == f"{kind} {name}"]
    return pod["containers"][container]["args"]


# What runs.


def test_nothing_runs_as_root_or_writes_where_it_need_not(plain, much):
    for name, container in [*containers(plain), *containers(much)]:
        rights = container["securityContext"]
        assert rights["runAsNonRoot"] is True, name
        assert rights["runAsUser"] == rights["runAsGroup"] == 10001, name
        assert rights["readOnlyRootFilesystem"] is True, name
        assert rights["allowPrivilegeEscalation"] is False, name
        assert rights["capabilities"] == {"drop": ["ALL"]}, name
        assert rights["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
        assert {"cpu", "memory"} <= set(container["resources"]["limits"]), name
    served = [
        o["spec"][part] for o in much if o["kind"] == "InferenceService" for part in o["spec"]
    ]
    for pod in [*served, *(pod for _, pod in pods([*plain, *much]))]:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["fsGroup"] == 10001


def test_only_the_router_gets_a_token_for_the_api_server(much):
    for account in (o for o in much if o["kind"] == "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    mounted = {name for name, pod in pods(much) if pod["automountServiceAccountToken"]}
    assert mounted == {"Deployment intent-store-router"}


def test_what_goes_on_running_is_probed_and_spread(much):
    for name, pod in pods(much):
        if name.startswith(("Pod", "TrainingRuntime")):
            continue
        probes = {"startupProbe", "readinessProbe", "livenessProbe"}
        assert all(probes <= set(container) for container in pod["containers"]), name
        keys = {each["topologyKey"] for each in pod["topologySpreadConstraints"]}
        assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}, name


def test_every_image_comes_from_the_registry_that_is_named(much):
    for name, container in containers(much):
        assert container["image"].startswith("registry.internal/team/"), name
    for name, pod in pods(much):
        assert pod["imagePullSecrets"] == [{"name": "registry"}], name


def test_no_two_objects_have_one_name(plain, much):
    for objects in (plain, much):
        names = Counter(
            (o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in objects
        )
        assert max(names.values()) == 1


def test_every_mount_has_its_volume(much):
    for name, pod in pods(much):
        there = {volume["name"] for volume in pod.get("volumes", ())} | {"state", "data"}
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            for mount in container.get("volumeMounts", ()):
                assert mount["name"] in there, f"{name}: {mount}"


# What our own processes are given.


def test_the_router_takes_its_arguments_and_its_upstreams(much, tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "serving.router",
            *command(much, "Deployment", "intent-store-router"),
        ]
        + [f"--state={tmp_path}", f"--upstreams={tmp_path}/none.yaml", "--keepalive=0"],
        capture_output=True,
        text=True,
        check=False,
    )
    # All arguments are known and sound but the one that was added to stop it there.
    assert "--keepalive: Input should be greater than or equal to 1" in done.stderr
    file = tmp_path / "upstreams.yaml"
    file.write_text(only(much, "ConfigMap", "intent-store-upstreams")["data"]["upstreams.yaml"])
    upstreams = load_upstreams(file)
    registered = upstreams.address("suggestions-finetuned")
    assert registered.http == "suggestions-finetuned-predictor.intent-store.svc:80"
    assert registered.grpc == "suggestions-finetuned-predictor.intent-store.svc:9000"
    # Features come first: a ranker that is split answers by its transformer.
    split = upstreams.address("ranker-split")
    assert split.http == "ranker-split-transformer.intent-store.svc:80"


def test_servers_take_their_arguments_in_the_order_that_kserve_expects(much):
    runtime = only(much, "ServingRuntime", "intent-store")["spec"]["containers"][0]
    ports = [port["containerPort"] for port in runtime["ports"]]
    assert ports == [8080, 9000]  # KServe's Service maps its port 80 to the first
    asked = server._arguments().parse_args(runtime["args"])
    assert (asked.http_port, asked.grpc_port, asked.host) == (8080, 9000, "0.0.0.0")
    model = only(much, "InferenceService", "ranker-split")["spec"]
    both = server._arguments().parse_args(runtime["args"] + model["predictor"]["model"]["args"])
    assert both.part == "predictor"
    transformer = model["transformer"]["containers"][0]
    features = server._arguments().parse_args(transformer["args"])
    assert features.part == "transformer"
    assert features.predictor_host == "ranker-split-predictor.intent-store.svc:80"
    # KServe adds what it does not find, in a form that is not ours.
    assert {"--model_name", "--predictor_host", "--http_port"} <= {
        argument.partition("=")[0] for argument in transformer["args"]
    }


def test_the_consumer_its_fetches_and_the_test_take_their_arguments(much):
    from serving.nearline.__main__ import _parser

    asked = _parser().parse_args(command(much, "StatefulSet", "intent-store-nearline"))
    assert asked.package == Path("/var/lib/intent/nearline/package")
    assert asked.snapshot == Path("/var/lib/intent/nearline/snapshot")
    (pod,) = [pod for name, pod in pods(much) if name == "StatefulSet intent-store-nearline"]
    fetched = [fetch._parser().parse_args(one["args"]) for one in pod["initContainers"]]
    assert [one.to for one in fetched] == [asked.package, asked.snapshot]
    assert check._parser().parse_args(command(much, "Pod", "intent-store-test")).router
    assert nearline.__name__ == "serving.nearline"


# The store.


@pytest.fixture
def store(plain, tmp_path):
    """A redis-server started by the chart's own script, in folders of this machine."""
    data = only(plain, "ConfigMap", "intent-store-redis")["data"]
    port = free_port()
    for folder in ("data", "run", "etc/passwords"):
        (tmp_path / folder).mkdir(parents=True)
    places = {
        "/etc/redis": tmp_path / "etc",
        "/run/redis": tmp_path / "run",
        "dir /data": f"dir {tmp_path}/data",
    }
    for name, text in data.items():
        for place, here in places.items():
            text = text.replace(place, str(here))
        (tmp_path / "etc" / name).write_text(
            text.replace("port 6379", f"port {port}\nbind 127.0.0.1")
        )
    for user in ("reader", "writer", "admin"):
        (tmp_path / "etc" / "passwords" / f"{user}-password").write_text(f"{user}'s own\n")
    path = f"{binary('redis-server').parent}:/usr/bin:/bin"
    process = subprocess.Popen(["sh", "-eu", tmp_path / "etc" / "start.sh"], env={"PATH": path})
    try:
        yield tmp_path, port, path
    finally:
        process.terminate()
        process.wait(20)


def test_redis_starts_by_our_script_and_gives_each_user_its_rights(store):
    home, port, path = store

    def client(user):
        retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.1), 100)
        return redis.Redis(
            port=port,
            username=user,
            password=f"{user}'s own",
            retry=retry,
            retry_on_error=[ConnectionError, redis.ConnectionError],
        )

    writer, reader = client("writer"), client("reader")
    assert writer.set("intent:{d}:current", 1)
    assert writer.eval("return redis.call('GET', KEYS[1])", 1, "intent:{d}:current") == b"1"
    assert reader.get("intent:{d}:current") == b"1"
    for refused in (
        lambda: reader.set("intent:{d}:current", 2),
        lambda: reader.get("other"),
        lambda: writer.set("other", 1),
        lambda: writer.flushall(),
        lambda: writer.config_get("*"),
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            refused()
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(port=port).ping()
    policy = client("admin").config_get("maxmemory-policy", "appendonly")
    assert policy == {"maxmemory-policy": "noeviction", "appendonly": "yes"}
    assert "own" not in (home / "run" / "users.acl").read_text(), "a password in plain text"
    ready = (home / "etc" / "ready.sh").read_text().replace("redis-cli", f"redis-cli -p {port}")
    assert subprocess.run(["sh", "-euc", ready], env={"PATH": path}, check=False).returncode == 0


def test_passwords_are_made_up_on_a_cluster_only_and_for_both_namespaces():
    values = BUCKET | {"pipelines": {"namespace": "team"}}
    secrets = {
        o.object["metadata"]["namespace"]: o.object["data"]
        for o in render(values, apis=CLUSTER)
        if o.object["metadata"]["name"] == "intent-store-redis" and o.object["kind"] == "Secret"
    }
    assert set(secrets) == {"intent-store", "team"}
    assert len(base64.b64decode(secrets["intent-store"]["admin-password"])) == 32
    assert set(secrets["team"]) == {"reader-password", "writer-password"}
    assert all(secrets["intent-store"][key] == value for key, value in secrets["team"].items())
    for given, apis in (({}, APIS), ({"redis": {"existingSecret": "mine"}}, CLUSTER)):
        objects = render(given, apis=apis)
        assert not [o for o in objects if o.source == "secret"]


def test_a_redis_of_ones_own_takes_the_place_of_the_charts():
    values = {
        "redis": {"enabled": False},
        "store": {
            "url": "rediss+cluster://redis.data:7000/0",
            "existingSecret": "mine",
            "caSecret": "ca",
        },
    }
    objects = [o.object for o in render(values)]
    assert not [o for o in objects if o["metadata"]["name"] == "intent-store-redis"]
    runtime = only(objects, "ServingRuntime", "intent-store")["spec"]
    env = {each["name"]: each for each in runtime["containers"][0]["env"]}
    assert env["INTENT_STORE_URL"]["value"] == "rediss+cluster://redis.data:7000/0"
    assert env["INTENT_STORE_USER"]["value"] == "reader"
    secret = env["INTENT_STORE_PASSWORD"]["valueFrom"]["secretKeyRef"]
    assert secret == {"name": "mine", "key": "reader-password"}
    assert env["INTENT_STORE_CA"]["value"] == "/etc/intent/store/ca.crt"


# Experiments and variants.


def test_the_definition_of_experiments_is_the_one_of_the_components():
    own = ROOT / "components" / "experiments" / "experiment.crd.yaml"
    assert (CHART / "files" / own.name).read_text() == own.read_text()
    (rendered,) = [o.object for o in render() if o.source == "crd"]
    kept = rendered["metadata"].pop("annotations")
    assert kept == {"helm.sh/resource-policy": "keep"}
    assert rendered == yaml.safe_load(own.read_text())
    assert not [o for o in render({"crds": {"install": False}}) if o.source == "crd"]


def test_experiments_come_as_hooks_to_a_cluster_and_as_they_are_without_one(much):
    plain = only(much, "Experiment", "ranking")
    assert "helm.sh/hook" not in plain["metadata"]["annotations"]
    assert plain["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert problems(plain) == []
    (hook,) = [
        o.object
        for o in render({"experiments": [EXPERIMENT]}, apis=CLUSTER)
        if o.source == "experiments"
    ]
    said = hook["metadata"]["annotations"]
    # A rollback runs none, and the default policy would delete one that a person has ramped.
    assert set(said["helm.sh/hook"].split(",")) == {"post-install", "post-upgrade"}
    assert said["helm.sh/hook-delete-policy"] == "hook-failed"


def test_services_of_our_own_stand_in_for_headless_ones():
    values = {
        "kserve": {"ownServices": True},
        "models": [MODEL, MODEL | {"variant": "split", "split": True}],
    }
    objects = [o.object for o in render(values)]
    pattern = yaml.safe_load(
        only(objects, "ConfigMap", "intent-store-upstreams")["data"]["upstreams.yaml"]
    )
    assert pattern["pattern"]["http"] == "{name}-intent.intent-store.svc:80"
    assert pattern["ranker-split"]["http"] == "ranker-split-intent.intent-store.svc:80"
    service = only(objects, "Service", "ranker-full-intent")["spec"]
    assert service["selector"] == {"app": "isvc.ranker-full-predictor"}
    assert [(p["port"], p["targetPort"]) for p in service["ports"]] == [(80, 8080), (9000, 9000)]
    entry = only(objects, "Service", "ranker-split-intent")["spec"]["selector"]
    assert entry == {"app": "isvc.ranker-split-transformer"}


def test_variants_are_reached_through_the_router_alone(much):
    """KServe makes an ingress for every InferenceService that does not say otherwise."""
    for each in (o for o in much if o["kind"] == "InferenceService"):
        assert each["metadata"]["labels"]["networking.kserve.io/visibility"] == "cluster-local"
        assert each["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"


# Pipelines.


def test_pipelines_get_the_images_names_and_fields_of_this_release():
    image = "registry.internal/train@sha256:" + "0" * 64
    for release in ("newest", "26.03"):
        values = BUCKET | {
            "fullnameOverride": "jobs",
            "kubeflow": {"release": release},
            "pipelines": {"install": True, "namespace": "team"},
            "images": {
                "registry": "registry.internal",
                "train": {"repository": "train", "digest": image.rpartition("@")[2]},
            },
        }
        found = [o.object for o in render(values) if o.source == "pipeline-resources"]
        assert {o["kind"] for o in found} == {"Pipeline", "PipelineVersion"}
        assert {o["metadata"]["namespace"] for o in found} == {"team"}
        version = next(o for o in found if o["kind"] == "PipelineVersion")
        text = yaml.safe_dump(version)
        assert image in text
        assert "intent-store/train" not in text
        assert "intent-store-registrar-token" not in text
        assert "jobs-registrar-token" in text
        assert ("securityContext" in text) == (release == "newest")


def test_the_config_map_that_runs_read_names_what_there_is(much):
    told = only(much, "ConfigMap", "intent-store")["data"]
    assert told["registry"] == "gs://bucket/registry"
    assert told["experiments"] == "kubernetes:intent-store"
    assert told["store-url"] == "rediss://intent-store-redis.intent-store.svc:6379/0"
    accounts = {o["metadata"]["name"] for o in much if o["kind"] == "ServiceAccount"}
    for key in ("serving-service-account", "trainer-service-account", "spark-service-account"):
        assert told[key] in accounts
    assert only(much, "TrainingRuntime", told["training-runtime"])
    assert only(much, "ServingRuntime", told["serving-runtime"])
    assert only(much, "PersistentVolumeClaim", told["work-claim"])
