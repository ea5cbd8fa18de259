"""Steps whose work the cluster does, on a real API server; pods are processes of this machine."""

import base64
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest
import yaml

from components.activity.config import ActivityConfig
from components.activity.on_cluster import cut_sessions_on_spark
from components.activity.sessions import write_sessions
from components.cluster.apply import listed
from components.cluster.client import POD, SPARK_APPLICATION, TRAIN_JOB, connect
from components.cluster.config import JobConfig
from components.cluster.launch import JobError, Launcher
from components.cluster.sparkapplication import spark_application
from components.cluster.trainjob import train_job
from components.encoder.config import PretrainConfig
from components.encoder.errors import EncoderError
from components.encoder.on_cluster import pretrain_on_cluster
from components.encoder.pretrain import pretrain
from tests.cluster import operators as operator
from tests.cluster.machine import Machine
from tests.cluster.operators import Operators, wait_until
from tests.components.activity.test_sessions import many_actions, write_feed
from tests.components.conftest import write_parts_in  # noqa: F401 - a fixture
from tests.components.encoder.conftest import TINY, corpus, write_corpus  # noqa: F401 - fixtures

pytestmark = pytest.mark.cluster

LAUNCHER_RIGHTS = [
    {
        "apiGroups": ["trainer.kubeflow.org", "sparkoperator.k8s.io"],
        "resources": ["trainjobs", "sparkapplications"],
        "verbs": ["create", "get", "list", "watch", "delete"],
    },
    {"apiGroups": [""], "resources": ["pods", "events"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
]
RUN = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "run"}}
"""Stands for the workflow that a step's pod belongs to."""


def account(name):
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


def launcher_account():
    """The launcher's account, with the rights that it needs and no others, and its token."""
    role, name = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role"}, "intent-store-launcher"
    api = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    yield account(name)
    yield {**api, "kind": "Role", "metadata": {"name": name}, "rules": LAUNCHER_RIGHTS}
    yield {
        **api,
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {**role, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name}],
    }
    yield {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": f"{name}-token",
            "annotations": {"kubernetes.io/service-account.name": name},
        },
    }


def step_pod(owner_uid):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "step",
            "ownerReferences": [
                {
                    **{"apiVersion": "v1", "kind": "ConfigMap", "name": "run", "uid": owner_uid},
                    "controller": True,
                }
            ],
        },
        "spec": {
            "schedulerName": "none.test",
            "containers": [{"name": "main", "image": "intent-store/train:0.1.0"}],
        },
    }


class Place:
    """A namespace with operators and a step's pod in it, and what a step there reads and writes."""

    def __init__(self, cluster, namespace, credentials, work, operators):
        self.cluster, self.namespace, self.credentials = cluster, namespace, credentials
        self.work, self.operators = work, operators
        self.lines = []

    def config(self, **settings):
        return JobConfig(**{"namespace": self.namespace, "work": self.work} | settings)

    def launcher(self, config=None):
        return Launcher(
            config or self.config(),
            api=connect(self.credentials),
            write=self.write,
            resync=1.0,
        )

    def write(self, line):
        assert not self.operators.broken, self.operators.broken
        self.lines.append(line)

    def training(self, script="true", *, name="intent-pretrain-a", config=None):
        return train_job(name, ["sh", "-c", script], config or self.config(), labels={})

    def run(self, script="true", **settings):
        config = self.config(**settings)
        self.launcher(config).run(self.training(script, config=config))

    def jobs(self):
        api = self.cluster.client()
        return [
            job
            for kind in (TRAIN_JOB, SPARK_APPLICATION)
            for job in listed(api, kind, namespace=self.namespace)[0]
        ]

    def pods(self):
        found, _ = listed(self.cluster.client(), POD, namespace=self.namespace)
        return [pod for pod in found if pod["metadata"]["name"] != "step"]

    def said(self):
        """What pods said, behind the bar that follows the pod's name."""
        return [line.split(" | ", 1)[1] for line in self.lines if " | " in line]

    def is_clean(self):
        return not self.jobs() and not self.pods()


@pytest.fixture
def place(own_cluster, namespace, tmp_path, monkeypatch):
    cluster = own_cluster
    cluster.install_crds()
    made = [RUN, account("intent-store-trainer"), account("intent-store-spark")]
    cluster.kubectl(
        *("-n", namespace, "create", "-f", "-"),
        input=yaml.safe_dump_all([*made, *launcher_account()]),
    )
    run = cluster.get("-n", namespace, "configmap", "run")
    cluster.kubectl(
        "-n", namespace, "create", "-f", "-", input=json.dumps(step_pod(run["metadata"]["uid"]))
    )
    secret = ("-n", namespace, "secret", "intent-store-launcher-token")
    cluster.wait_for(lambda: "token" in cluster.get(*secret).get("data", {}))
    credentials = tmp_path / "launcher"
    credentials.mkdir()
    for name, value in cluster.get(*secret)["data"].items():
        (credentials / name).write_bytes(base64.b64decode(value))
    server = urlsplit(cluster.client().configuration.host)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", server.hostname)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    monkeypatch.setenv("KFP_POD_NAME", "step")
    work = tmp_path / "work"
    work.mkdir()
    machine = Machine(cluster.client(), cluster.home / "ca.crt", cluster.home / "ca.key")
    operators = Operators(cluster.client(), namespace, machine, tmp_path)
    operators.start()
    yield Place(cluster, namespace, credentials, work, operators)
    operators.stop()
    machine.close()
    assert not operators.broken


def test_a_step_pre_trains_by_a_train_job_what_it_would_itself(place, corpus, tmp_path):  # noqa: F811
    config = PretrainConfig(batch=8, epochs=1, dupe_factor=1, precision="fp32")
    settings = {
        "encoder": TINY.model_copy(update={"dropout": 0.0}),
        "config": config,
        "seed": 0,
    }
    inputs = corpus.tokens, corpus.vocabulary
    job = place.config(nodes=2)
    log = pretrain_on_cluster(
        *inputs, tmp_path / "found", **settings, job=job, launcher=place.launcher(job)
    )
    expected = pretrain(*inputs, tmp_path / "own", **settings, checkpoints=tmp_path / "state")
    assert [entry["loss"] for entry in log] == pytest.approx([e["loss"] for e in expected], 1e-4)
    found, own = ({path.name for path in (tmp_path / name).iterdir()} for name in ("found", "own"))
    assert found == own
    pods = {line.split(" | ")[0] for line in place.lines if " | " in line}
    assert any("-node-0-0-" in pod for pod in pods)
    assert any("INFO components.encoder.training step=1 loss=" in line for line in place.said())
    wait_until(place.is_clean)
    assert not list(place.work.glob("jobs/*"))


def test_a_step_cuts_sessions_by_a_spark_application_as_it_would_itself(place, tmp_path):
    pytest.importorskip("pyspark", reason="the Spark engine needs pyspark")
    if not shutil.which("java"):
        pytest.skip("the Spark engine needs Java, which is not on the path")
    actions = write_feed(tmp_path / "feed", many_actions(rows=3000))
    config = ActivityConfig(partitions=3)
    job = place.config(nodes=2)
    counts = cut_sessions_on_spark(
        actions, tmp_path / "found", config, job=job, launcher=place.launcher(job)
    )
    assert counts == write_sessions(actions, tmp_path / "own", config)
    for part in range(3):
        name = f"part-{part:05d}.parquet"
        expected = pq.read_table(tmp_path / "own" / name)
        assert pq.read_table(tmp_path / "found" / name).cast(expected.schema).equals(expected)
    assert json.loads(place.said()[-1]) == counts
    wait_until(place.is_clean)


def test_a_jobs_lines_are_written_once_and_in_order_while_the_api_server_goes_away(place):
    script = "for i in $(seq 40); do echo line $i; sleep 0.2; done"
    step = threading.Thread(target=place.run, args=(script,))
    step.start()
    wait_until(lambda: "line 3" in place.said())
    place.cluster.stop_api_server()
    try:
        time.sleep(2)
    finally:
        place.cluster.start_api_server()
    step.join(180)
    assert not step.is_alive()
    assert place.said() == [f"line {i + 1}" for i in range(40)]


def test_a_log_that_breaks_off_is_taken_up_where_it_broke(place):
    place.operators.machine.interrupt_logs = True
    place.run("for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.4; done")
    assert place.said() == [f"line {i + 1}" for i in range(8)]


def test_a_failed_program_is_told_with_its_code_and_its_last_words(place):
    with pytest.raises(JobError) as failed:
        place.run("for i in $(seq 30); do echo line $i; done; echo no space left >&2; exit 3")
    said = str(failed.value)
    assert "failed: FailedJobs: jobset failed due to one or more job failures" in said
    assert "container node ended: Error (exit code 3)" in said
    assert said.endswith("  line 30\n  no space left")
    assert "line 3\n" not in said
    wait_until(place.is_clean)


def out_of_memory(operators, job, pods):
    for pod in pods or operators.make_pods(job):
        ended = {"exitCode": 137, "reason": "OOMKilled"}
        operators.machine.set_status(
            operators.namespace, pod, {"terminated": ended}, phase="Failed"
        )
    operator.tell_failed(operators, job, 137, "OOMKilled")


def no_image(operators, job, pods):
    if not pods:
        said = 'Back-off pulling image "intent-store/train:0.1.0"'
        for pod in operators.make_pods(job):
            waiting = {"waiting": {"reason": "ImagePullBackOff", "message": said}}
            operators.machine.set_status(operators.namespace, pod, waiting, phase="Pending")


def left_to_the_scheduler(operators, job, pods):
    if not pods:
        operators.make_pods(job, scheduler="default-scheduler")


def overdue(operators, job, pods):
    if pods:
        operator.tell_overdue(operators, job)
    else:
        operator.run_for_real(operators, job, pods)


def refused_by_quota(operators, job, pods):
    metadata = job["metadata"]
    if metadata["uid"] in operators.made:
        return
    operators.made.append(metadata["uid"])
    event(operators, job["kind"], metadata["name"], "Warning", "FailedCreate", "exceeded quota")


def event(operators, kind, name, type_, reason, message):
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    operators._core.create_namespaced_event(
        operators.namespace,
        {
            "metadata": {"generateName": "why-"},
            "involvedObject": {"kind": kind, "name": name, "namespace": operators.namespace},
            **{"type": type_, "reason": reason, "message": message, "lastTimestamp": now},
        },
    )


H100 = {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"}


@pytest.mark.parametrize(
    ("act", "settings", "reasons"),
    [
        (out_of_memory, {}, ["OOMKilled (exit code 137)", "give it more memory"]),
        (
            no_image,
            {"image_timeout": 1},
            ["did not start within 1 s", "ImagePullBackOff: Back-off pulling image"],
        ),
        (
            left_to_the_scheduler,
            {"start_timeout": 3, "node_selector": H100},
            ["did not start within 3 s", "has no machine: Unschedulable", "node affinity"],
        ),
        (
            left_to_the_scheduler,
            {"start_timeout": 3, "gpus_per_node": 16},
            ["has no machine: Unschedulable", "Insufficient nvidia.com/gpu"],
        ),
        (overdue, {}, ["DeadlineExceeded"]),
        (operator.run_for_real, {"timeout": 1}, ["ran for longer than 1 s"]),
        (refused_by_quota, {"start_timeout": 2}, ["FailedCreate: exceeded quota"]),
    ],
)
def test_a_job_that_fails_says_why_and_leaves_nothing(place, act, settings, reasons):
    place.operators.act = act
    with pytest.raises(JobError) as failed:
        place.run("sleep 60", **settings)
    for reason in reasons:
        assert reason in str(failed.value)
    assert len(set(place.operators.made)) == 1, "it is not made anew"
    wait_until(place.is_clean)


def test_a_failed_job_is_left_to_be_looked_at_when_asked_to_until_the_next_try(place):
    place.operators.act = out_of_memory
    with pytest.raises(JobError):
        place.run(keep_failed=True)
    (kept,) = place.jobs()
    assert kept["status"]["conditions"][0]["type"] == "Failed"
    place.operators.act = operator.run_for_real
    place.run(keep_failed=True)
    wait_until(place.is_clean)


def preempted_once(operators, job, pods):
    if operators.made and operators.made[0] != job["metadata"]["uid"]:
        operator.run_for_real(operators, job, pods)
        return
    for pod in pods or operators.make_pods(job):
        why = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
        ended = {"terminated": {"exitCode": 143, "reason": "Error"}}
        operators.machine.set_status(
            operators.namespace, pod, ended, phase="Failed", conditions=[why]
        )
    operator.tell_failed(operators, job, 143)


def test_a_job_whose_machines_were_taken_away_is_made_anew(place):
    place.operators.act = preempted_once
    place.run("echo done", retries=1)
    assert place.said() == ["done"]
    assert len(place.operators.made) == 2
    assert any("lost its machine: PreemptionByScheduler" in line for line in place.lines)


def test_so_is_it_only_as_often_as_allowed(place):
    place.operators.act = preempted_once
    with pytest.raises(JobError, match="lost its machine"):
        place.run(retries=0)


def test_a_job_that_somebody_deleted_is_not_waited_for(place):
    failures = []

    def step():
        try:
            place.run("echo begun; sleep 60")
        except JobError as error:
            failures.append(str(error))

    thread = threading.Thread(target=step)
    thread.start()
    wait_until(lambda: "begun" in place.said())
    place.cluster.kubectl("-n", place.namespace, "delete", "trainjob", "--all", "--wait=false")
    thread.join(180)
    (failure,) = failures
    assert "was deleted by somebody" in failure
    wait_until(place.is_clean)


def test_a_queued_job_says_what_it_waits_for_and_then_runs(place):
    config = place.config(queue="gpu")
    manifest = place.training("echo done", config=config)
    name = manifest["metadata"]["name"]
    workload = f"trainjob-{name}-0f1e2"
    said = "couldn't assign flavors to pod set node: insufficient quota for nvidia.com/gpu"
    event(place.operators, "Workload", workload, "Normal", "Pending", said)
    step = threading.Thread(target=place.launcher(config).run, args=(manifest,))
    step.start()
    wait_until(lambda: any(said in line for line in place.lines))
    assert any("queued suspended until its queue has quota" in line for line in place.lines)
    place.cluster.kubectl(
        *("-n", place.namespace, "patch", "trainjob", name, "--type=merge"),
        *("-p", '{"spec": {"suspend": false}}'),
    )
    step.join(180)
    assert place.said() == ["done"]


def start_step(place, manifest):
    """Run a step in a process of its own, which may be killed."""
    step = multiprocessing.get_context("fork").Process(
        target=lambda: place.launcher().run(manifest)
    )
    step.start()
    wait_until(lambda: place.operators.made)
    # Until the step follows the job, with its signal handler in place.
    time.sleep(2)
    return step


def test_a_retried_step_follows_the_job_of_the_step_that_was_killed(place):
    manifest = place.training("sleep 5; echo done")
    step = start_step(place, manifest)
    step.kill()
    step.join()
    place.launcher().run(manifest)
    assert any("taken over from an earlier try" in line for line in place.lines)
    assert place.said() == ["done"]
    assert len(place.operators.made) == 1
    wait_until(place.is_clean)


def test_a_step_told_to_stop_takes_its_job_with_it(place):
    step = start_step(place, place.training("sleep 600"))
    os.kill(step.pid, signal.SIGTERM)
    step.join(180)
    assert step.exitcode == 143
    wait_until(place.is_clean)


def test_a_step_that_is_moved_to_another_machine_leaves_its_job_to_the_next_try(place):
    manifest = place.training("sleep 8; echo done")
    step = start_step(place, manifest)
    why = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    place.operators._core.patch_namespaced_pod_status(
        "step", place.namespace, {"status": {"conditions": [why]}}
    )
    os.kill(step.pid, signal.SIGTERM)
    step.join(180)
    assert step.exitcode == 143
    assert len(place.jobs()) == 1
    place.launcher().run(manifest)
    assert place.said() == ["done"]
    assert len(place.operators.made) == 1


def test_a_job_goes_with_its_run(place):
    step = start_step(place, place.training("sleep 600"))
    step.kill()
    (job,) = place.jobs()
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("ConfigMap", "run")
    place.cluster.kubectl("-n", place.namespace, "delete", "configmap", "run")
    wait_until(place.is_clean)


def test_a_name_is_that_of_the_run_the_step_and_what_it_does(place):
    launcher = place.launcher()
    name = launcher.name("pretrain", {"seed": 1})
    assert name == place.launcher().name("pretrain", {"seed": 1})
    others = [launcher.name("pretrain", {"seed": 2}), launcher.name("sessions", {"seed": 1})]
    place.cluster.kubectl("-n", place.namespace, "delete", "pod", "step", "--force")
    others.append(place.launcher().name("pretrain", {"seed": 1}))
    assert len({name, *others}) == 4


def test_the_real_schemas_take_both_kinds_in_both_releases(place):
    config = place.config(nodes=4, gpus_per_node=8, node_selector=H100, queue="gpu")
    for release in ("26.03", "newest"):
        place.cluster.install_crds(release)
        own = config.model_copy(update={"release": release})
        for manifest in (
            place.training(config=own),
            spark_application("sessions", "/app/job.py", [], own, labels={}),
        ):
            taken = place.cluster.kubectl(
                *("-n", place.namespace, "create", "--dry-run=server", "-o", "json", "-f", "-"),
                input=json.dumps(manifest),
            )
            # Fields that a schema does not know are dropped in silence.
            assert manifest["spec"].keys() <= json.loads(taken)["spec"].keys()


def test_a_batch_that_the_processes_cannot_share_is_refused_before_a_job_is_made(place):
    with pytest.raises(EncoderError, match="batch 8 is not a multiple .* 24 processes"):
        pretrain_on_cluster(
            *(place.work, place.work, place.work),
            encoder=TINY,
            config=PretrainConfig(batch=8),
            seed=0,
            job=place.config(nodes=3, gpus_per_node=8),
        )
    assert not place.jobs()
