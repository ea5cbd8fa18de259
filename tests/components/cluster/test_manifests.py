"""Manifests of jobs: what the operators of both releases read out of them."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from components.cluster.config import JobConfig
from components.cluster.sparkapplication import (
    spark_application,
    spark_application_pods,
    spark_application_state,
)
from components.cluster.state import FAILED, QUEUED, RUNNING, SUCCEEDED
from components.cluster.trainjob import train_job, train_job_pods, train_job_state

CHECKER = Path(__file__).resolve().parents[4] / "shared/tools/check_manifests.py"
LABELS = {"app.kubernetes.io/name": "intent-store", "app.kubernetes.io/component": "pretrain"}
A100 = {"cloud.google.com/gke-accelerator": "nvidia-tesla-a100"}

SMALL = {}
LARGE = {
    "nodes": 4,
    "gpus_per_node": 8,
    "node_selector": A100,
    "tolerations": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}],
    "cpu": "90",
    "memory": "1200Gi",
    "shared_memory": "64Gi",
    "queue": "gpu",
    "service_account": "trainer",
    "timeout": 3600,
}


def training(release="newest", **settings):
    config = JobConfig(release=release, **settings)
    command = ["torchrun", "-m", "components.encoder.distributed", "/intent/request.json"]
    return train_job("intent-pretrain-0a", command, config, labels=LABELS)


def spark(**settings):
    config = JobConfig(**settings)
    return spark_application(
        "intent-sessions-0a", "/app/job.py", ["/intent/request.json"], config, labels=LABELS
    )


def pod_of(job):
    """What a TrainJob adds to its pods, in the words of either release."""
    spec = job["spec"]
    if "podTemplateOverrides" in spec:
        (override,) = spec["podTemplateOverrides"]
        assert override["targetJobs"] == [{"name": "node"}]
        return override["spec"]
    (patch,) = spec["runtimePatches"]
    (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    assert replicated["name"] == "node"
    return replicated["template"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("release", ["26.03", "newest"])
def test_a_train_job_asks_for_its_machines(release):
    job = training(release, **LARGE)
    trainer = job["spec"]["trainer"]
    assert trainer["numNodes"] == 4
    assert trainer["numProcPerNode"] == 8
    assert trainer["command"][0] == "torchrun"
    for kind in ("requests", "limits"):
        assert trainer["resourcesPerNode"][kind]["nvidia.com/gpu"] == "8"
        assert trainer["resourcesPerNode"][kind]["memory"] == "1200Gi"
    pod = pod_of(job)
    assert pod["nodeSelector"] == A100
    assert pod["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    assert pod["serviceAccountName"] == "trainer"


@pytest.mark.parametrize("release", ["26.03", "newest"])
def test_a_train_job_mounts_the_shared_volume_and_places_to_write(release):
    pod = pod_of(training(release, shared_memory="64Gi"))
    volumes = {volume.pop("name"): volume for volume in pod["volumes"]}
    assert volumes == {
        "work": {"persistentVolumeClaim": {"claimName": "intent-store-work"}},
        "shm": {"emptyDir": {"medium": "Memory", "sizeLimit": "64Gi"}},
        "tmp": {"emptyDir": {}},
    }
    (container,) = pod["containers"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {"/intent": "work", "/dev/shm": "shm", "/tmp": "tmp"}


def test_only_the_newest_trainer_takes_a_deadline_and_a_security_context():
    newest, older = training("newest", timeout=60), training("26.03", timeout=60)
    assert newest["spec"]["activeDeadlineSeconds"] == 60
    assert pod_of(newest)["securityContext"]["runAsUser"] == 10001
    (container,) = pod_of(newest)["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert "activeDeadlineSeconds" not in older["spec"]
    assert "securityContext" not in pod_of(older)


@pytest.mark.parametrize("make", [training, spark])
def test_a_job_in_a_queue_is_made_suspended(make):
    queued = make(queue="gpu")
    assert queued["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpu"
    assert queued["spec"]["suspend"]
    assert "suspend" not in make()["spec"]


@pytest.mark.parametrize(
    ("settings", "processes"),
    [
        ({}, 1),
        ({"gpus_per_node": 8}, 8),
        ({"processes_per_node": 2}, 2),
        ({"gpus_per_node": 8, "processes_per_node": 4}, 4),
    ],
)
def test_each_gpu_gets_a_process_unless_told_otherwise(settings, processes):
    assert training(**settings)["spec"]["trainer"]["numProcPerNode"] == processes


def test_a_spark_application_gives_pythons_share_of_a_pods_memory_to_python():
    spec = spark(memory="14Gi", cpu="3500m", nodes=6)["spec"]
    assert spec["memoryOverheadFactor"] == "0.4"
    assert spec["executor"]["memory"] == spec["driver"]["memory"] == "10240m"
    assert spec["executor"]["cores"] == 3
    assert spec["executor"]["coreRequest"] == "3500m"
    assert spec["executor"]["instances"] == 6
    assert spec["driver"]["cores"] == 1


def test_a_spark_application_runs_a_file_of_its_image_hardened():
    spec = spark(**LARGE)["spec"]
    assert spec["mainApplicationFile"] == "local:///app/job.py"
    assert spec["arguments"] == ["/intent/request.json"]
    for role in ("driver", "executor"):
        assert spec[role]["securityContext"]["readOnlyRootFilesystem"]
        assert spec[role]["podSecurityContext"]["runAsNonRoot"]
        assert spec[role]["nodeSelector"] == A100
        (container,) = spec[role]["template"]["spec"]["containers"]
        assert container["command"][-2:] == ["-m", "components.cluster.spark_pod"]


@pytest.mark.parametrize(
    ("memory", "mebibytes"), [("1Gi", 1024), ("2048Mi", 2048), ("1G", 954), ("1073741824", 1024)]
)
def test_memory_is_read_in_every_unit_of_kubernetes(memory, mebibytes):
    given = spark(memory=memory)["spec"]["executor"]["memory"]
    assert given == f"{int(mebibytes / 1.4)}m"


@pytest.mark.skipif(not CHECKER.exists(), reason="needs the definitions in ../shared/crds")
@pytest.mark.parametrize("release", ["26.03", "newest"])
def test_the_operators_own_schemas_take_their_releases_form_alone(tmp_path, release):
    other = {"26.03": "newest", "newest": "26.03"}[release]
    ours = [make(release=release, **size) for make in (training, spark) for size in (SMALL, LARGE)]
    assert schema_errors(tmp_path, release, *ours) == ""
    assert "intent-pretrain-0a" in schema_errors(tmp_path, release, training(other))


def schema_errors(home, release, *manifests):
    path = home / "jobs.yaml"
    path.write_text(yaml.safe_dump_all(manifests))
    pinned = "kubeflow-26.03" if release == "26.03" else release
    checked = subprocess.run(
        [sys.executable, CHECKER, "--release", pinned, path], capture_output=True, text=True
    )
    return checked.stdout + checked.stderr if checked.returncode else ""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("release", "25.03"),
        ("memory", "16 GB"),
        ("nodes", 0),
        ("volume_claim", "Work"),
        ("tolerations", [{"operator": "In"}]),
        ("node_selektor", {}),
    ],
)
def test_a_wrong_setting_is_refused_by_name(key, value):
    with pytest.raises(ValidationError, match=key):
        JobConfig(**{key: value})


@pytest.mark.parametrize(
    ("conditions", "phase"),
    [
        ([], RUNNING),
        ([("Suspended", "False", "Resumed")], RUNNING),
        ([("Complete", "True", "AllJobsCompleted")], SUCCEEDED),
        ([("Failed", "True", "ReachedMaxRestarts")], FAILED),
        ([("Failed", "True", "DeadlineExceeded")], FAILED),
        ([("Suspended", "False", "Resumed"), ("Complete", "True", "AllJobsCompleted")], SUCCEEDED),
    ],
)
def test_a_train_jobs_conditions_tell_how_far_it_has_come(conditions, phase):
    job = training()
    job["status"] = {
        "conditions": [
            {"type": kind, "status": status, "reason": reason, "message": "why"}
            for kind, status, reason in conditions
        ]
    }
    state = train_job_state(job)
    assert state.phase == phase
    if state.ended:
        assert state.reason == f"{conditions[-1][2]}: why"


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        ("", RUNNING),
        ("SUBMITTED", RUNNING),
        ("SUBMISSION_FAILED", RUNNING),
        ("RUNNING", RUNNING),
        ("PENDING_RERUN", RUNNING),
        ("SUCCEEDING", RUNNING),
        ("COMPLETED", SUCCEEDED),
        ("FAILING", RUNNING),
        ("FAILED", FAILED),
    ],
)
def test_a_spark_applications_state_tells_how_far_it_has_come(state, phase):
    application = spark()
    application["status"] = {"applicationState": {"state": state, "errorMessage": "driver died"}}
    found = spark_application_state(application)
    assert found.phase == phase
    if phase == FAILED:
        assert found.reason == "FAILED: driver died"


@pytest.mark.parametrize(
    ("make", "read"), [(training, train_job_state), (spark, spark_application_state)]
)
def test_a_suspended_job_waits_for_its_queue(make, read):
    assert read(make(queue="gpu")).phase == QUEUED


def test_pods_are_found_by_the_labels_that_the_operators_set():
    assert train_job_pods("a") == "jobset.sigs.k8s.io/jobset-name=a"
    assert spark_application_pods("a") == "sparkoperator.k8s.io/app-name=a"
