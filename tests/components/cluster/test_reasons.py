"""Why a pod does not run: what Kubernetes says of it, in one line."""

import pytest

from components.cluster.reasons import troubles, warnings

PULL = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image x"}}


def pod(*states, phase="Running", conditions=(), **status):
    containers = [
        {"name": f"c{number}", "restartCount": 0, "state": state}
        for number, state in enumerate(states)
    ]
    status |= {"phase": phase, "conditions": list(conditions), "containerStatuses": containers}
    return {"metadata": {"name": "p"}, "status": status}


def condition(kind, value, reason, message):
    return {"type": kind, "status": value, "reason": reason, "message": message}


def ended(code, reason="Error", **more):
    return {"terminated": {"exitCode": code, "reason": reason, **more}}


@pytest.mark.parametrize(
    "healthy",
    [
        {"metadata": {"name": "p"}},
        pod({"running": {}}),
        pod(ended(0, "Completed"), phase="Succeeded"),
        pod({"waiting": {"reason": "ContainerCreating"}}, phase="Pending"),
    ],
)
def test_a_pod_that_starts_runs_or_succeeded_has_no_trouble(healthy):
    assert troubles(healthy) == []


@pytest.mark.parametrize(
    ("sick", "text", "fatal", "taken_away"),
    [
        (pod(ended(1)), "pod p, container c0 ended: Error (exit code 1)", False, False),
        (
            pod(ended(137, "OOMKilled")),
            "pod p, container c0 ended: OOMKilled (exit code 137); give it more memory",
            False,
            False,
        ),
        (
            pod(ended(128, "StartError", message="no such\nfile")),
            "pod p, container c0 ended: StartError (exit code 128): no such file",
            False,
            False,
        ),
        (pod(ended(143)), "pod p, container c0 ended: Error (exit code 143)", False, True),
        (
            pod(PULL, phase="Pending"),
            "pod p, container c0 does not start: ImagePullBackOff: Back-off pulling image x",
            True,
            False,
        ),
        (
            pod({"waiting": {"reason": "CreateContainerConfigError", "message": "no secret s"}}),
            "pod p, container c0 does not start: CreateContainerConfigError: no secret s",
            True,
            False,
        ),
        (
            pod(
                phase="Pending",
                conditions=[
                    condition("PodScheduled", "False", "Unschedulable", "0/7 nodes are available")
                ],
            ),
            "pod p has no machine: Unschedulable: 0/7 nodes are available",
            False,
            False,
        ),
        (
            pod(phase="Failed", reason="Evicted", message="low on memory"),
            "pod p failed: Evicted: low on memory",
            False,
            True,
        ),
        (
            pod(phase="Failed", reason="DeadlineExceeded", message="too long"),
            "pod p failed: DeadlineExceeded: too long",
            False,
            False,
        ),
        (
            pod(
                phase="Failed",
                conditions=[
                    condition("DisruptionTarget", "True", "TerminationByKubelet", "shutdown")
                ],
            ),
            "pod p lost its machine: TerminationByKubelet: shutdown",
            False,
            True,
        ),
    ],
)
def test_a_sick_pod_says_what_to_mend(sick, text, fatal, taken_away):
    assert troubles(sick) == [(text, fatal, taken_away)]


def test_what_ended_a_container_is_told_after_it_started_again():
    again = pod({"running": {}})
    again["status"]["containerStatuses"][0]["lastState"] = ended(137, "OOMKilled")
    (trouble,) = troubles(again)
    assert "OOMKilled" in trouble.text


def test_a_container_that_died_of_its_machines_loss_is_tried_again():
    lost = [condition("DisruptionTarget", "True", "PreemptionByScheduler", "for others")]
    found = troubles(pod(ended(137), phase="Failed", conditions=lost))
    assert len(found) == 2
    assert all(trouble.taken_away for trouble in found)


def event(name, message, *, kind="JobSet", type_="Warning", reason="Failed", time="1"):
    about = {"kind": kind, "name": name}
    return {"involvedObject": about, "type": type_, "reason": reason, "message": message} | {
        "lastTimestamp": time
    }


def waiting_workload(name, message):
    return event(name, message, kind="Workload", type_="Normal", reason="Pending")


def test_the_newest_warning_about_each_of_a_jobs_things_is_told():
    found = warnings(
        [
            event("job-a", "first", time="1"),
            event("job-a", "second", time="2"),
            event("job-a-node-0", "exceeded quota", kind="Job", reason="FailedCreate"),
            event("job-a", "fine", type_="Normal", time="3"),
            event("job-b", "of another"),
            event(
                "trainjob-job-a-1", "no quota", kind="Workload", type_="Normal", reason="Pending"
            ),
        ],
        ["job-a", "trainjob-job-a"],
    )
    assert found == [
        "Job job-a-node-0: FailedCreate: exceeded quota",
        "JobSet job-a: Failed: second",
        "Workload trainjob-job-a-1: Pending: no quota",
    ]
