"""`intent submit`: what is sent to Kubeflow, and how a run's end and its waiting are told."""

import json

import pytest

from pipelines.command import main
from pipelines.submit import SubmitError, Submitter, pending_reasons
from tests.pipelines.kfp_api import KfpApi


@pytest.fixture
def api():
    with KfpApi() as running:
        yield running


def submit(api, *arguments):
    return main(["submit", "--host", api.url, "--pipeline", "experiment", *arguments])


def test_a_version_is_uploaded_once_and_then_run_with_what_was_chosen(api, capsys):
    assert submit(api, "--parameter", "task=both", "--experiment", "nightly") == 0
    (run,) = api.runs.values()
    shown = capsys.readouterr().out
    assert f"{api.url}/#/runs/details/r0" in shown
    assert run["runtime_config"]["parameters"] == {"task": "both"}
    version = api.versions[run["pipeline_version_reference"]["pipeline_version_id"]]
    assert version["display_name"] == run["display_name"] == shown.split()[0]
    assert [one["display_name"] for one in api.experiments.values()] == ["nightly"]
    assert submit(api, "--experiment", "nightly") == 0
    assert "uploaded" not in capsys.readouterr().out
    assert (len(api.runs), len(api.experiments), len(api.pipelines)) == (2, 1, 1)


def test_another_content_is_another_version_of_the_same_pipeline(api):
    assert submit(api) == submit(api, "--image", "elsewhere/train:2") == 0
    names = [one["display_name"] for one in api.versions.values()]
    assert len(api.pipelines) == 1
    assert len({name for name in names if name != "intent-experiment"}) == 2


def test_training_takes_a_recipe_and_an_accelerator(api):
    arguments = ["--recipe", "paper", "--set", "pretrain.epochs=1", "--accelerator", "v100"]
    assert main(["submit", "--host", api.url, *arguments]) == 0
    (run,) = api.runs.values()
    sent = run["runtime_config"]["parameters"]
    assert "name: paper" in sent["recipe"]
    assert sent["overrides"] == {"pretrain.epochs": "1"}
    assert sent["accelerator"] == "v100"


def test_a_recurring_run_is_started_at_its_times_one_at_a_time(api, capsys):
    assert submit(api, "--recurring", "0 0 4 * * *") == 0
    (made,) = api.recurring.values()
    assert made["trigger"]["cron_schedule"]["cron"] == "0 0 4 * * *"
    assert (made["max_concurrency"], made["no_catchup"]) == (1, True)
    assert "recurringrun/details" in capsys.readouterr().out


def test_a_run_is_followed_and_a_step_that_failed_is_named_with_its_reason(api, capsys):
    task = {"task_id": "1", "display_name": "pretrain"}
    api.states = [
        {"state": "PENDING"},
        {"state": "RUNNING", "run_details": {"task_details": [{**task, "state": "RUNNING"}]}},
        {
            "state": "FAILED",
            "run_details": {
                "task_details": [
                    {
                        "task_id": "0",
                        "display_name": "root",
                        "state": "FAILED",
                        "child_tasks": [{"task_id": "1"}],
                    },
                    {**task, "state": "FAILED", "error": {"code": 1, "message": "OOMKilled"}},
                ]
            },
        },
    ]
    submitter = Submitter(api.url)
    submitted = submitter.start("experiment", {})
    shown = []
    asked = []

    def pending(selector):
        asked.append(selector)
        return ["pod x has no machine"]

    with pytest.raises(SubmitError) as end:
        submitter.wait(submitted.id, show=shown.append, pending=pending, seconds=0)
    assert str(end.value) == f"run {submitted.id} FAILED\nstep pretrain: OOMKilled"
    assert shown[:3] == ["run PENDING", "pod x has no machine", "run RUNNING"]
    assert shown.count("pod x has no machine") == 1
    assert asked[0] == f"pipeline/runid={submitted.id}"


def test_a_run_that_succeeds_ends_well(api):
    api.states = [{"state": "RUNNING"}, {"state": "SUCCEEDED"}]
    submitter = Submitter(api.url)
    shown = []
    submitter.wait(submitter.start("experiment", {}).id, show=shown.append, seconds=0)
    assert shown == ["run RUNNING", "run SUCCEEDED"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--parameter", "colour=red"], "experiment has no parameter colour: it has name, task"),
        (["--recipe", "paper"], "the pipeline experiment takes no recipe"),
        (["--pipeline", "nightly"], "no pipeline 'nightly'"),
    ],
)
def test_a_mistake_is_told_before_anything_is_sent(api, arguments, told, capsys):
    assert submit(api, *arguments) == 1
    assert told in capsys.readouterr().err
    assert not api.runs
    assert not api.pipelines


def test_a_token_is_taken_from_the_environment_and_a_refusal_is_one_line(monkeypatch, capsys):
    with KfpApi(token="secret") as api:
        monkeypatch.setenv("KFP_TOKEN", "guess")
        assert submit(api) == 1
        told = capsys.readouterr().err
        assert "refused: 401 no or wrong token" in told
        assert "Traceback" not in told
        monkeypatch.setenv("KFP_TOKEN", "secret")
        assert submit(api) == 0


def test_a_host_that_is_not_there_is_told(capsys):
    with KfpApi() as gone:
        pass
    assert submit(gone) == 1
    assert f"intent: {gone.url}: cannot be reached" in capsys.readouterr().err


def test_the_stand_in_refuses_what_kfps_models_do_not_know(api):
    wrong = json.dumps({"display_name": "x", "colour": "red"}).encode()
    status, answer = api.answer("POST", "experiments", {}, wrong, {})
    assert status == 400
    assert "V2beta1Experiment has no such field" in answer["message"]


def test_pending_says_what_a_pod_looks_for_and_what_the_scheduler_says(monkeypatch):
    pod = {
        "metadata": {"name": "train-1"},
        "spec": {
            "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"},
            "containers": [{"resources": {"limits": {"nvidia.com/gpu": "8", "memory": "1Gi"}}}],
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        },
        "status": {
            "phase": "Pending",
            "conditions": [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": "0/7 nodes are available: 7 didn't match node selector.",
                }
            ],
        },
    }
    monkeypatch.setattr("components.cluster.apply.listed", lambda *a, **k: ([pod], "1"))
    assert pending_reasons(None, "runs", "x=y") == [
        "pod train-1 has no machine: Unschedulable: 0/7 nodes are available: 7 didn't match node "
        "selector. (it wants nodes with cloud.google.com/gke-accelerator=nvidia-h100-80gb; "
        "8 nvidia.com/gpu; tolerates nvidia.com/gpu)"
    ]
