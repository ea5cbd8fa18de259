"""Start a pipeline on Kubeflow through its API, follow it, and say why it waits or failed."""

import contextlib
import io
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from components.errors import IntentError
from components.image import TRAIN_IMAGE
from pipelines.compiled import load_pipeline, write_pipeline

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

TOKEN = "KFP_TOKEN"
"""Environment variable with the bearer token of the API, where it wants one."""

RUN_LABEL = "pipeline/runid"
"""Of every pod of a run; its value is the run's id."""

ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
SECONDS_BETWEEN_LOOKS = 5.0

log = logging.getLogger(__name__)


class SubmitError(IntentError):
    """A run that could not be started, or that failed; names the step and the reason."""


class Submitted(NamedTuple):
    """A run, or a recurring one.

    Attributes:
        id: of the run.
        url: of its page.
        version: of the pipeline.
        uploaded: whether the version was not there before.
    """

    id: str
    url: str
    version: str
    uploaded: bool


class Submitter:
    """Starts and follows runs.

    Args:
        host: URL of the API, such as http://localhost:8080 behind a port-forward.
        namespace: of the user, where Kubeflow has several; the one of the API when None.
    """

    def __init__(self, host: str, namespace: str | None = None):
        _look(host)
        with _quietly(host):
            import kfp

            self._client = kfp.Client(
                host=host,
                namespace=namespace or "kubeflow",
                existing_token=os.environ.get(TOKEN),
            )
        self._host, self._namespace = host.rstrip("/"), namespace

    def start(
        self,
        pipeline: str,
        arguments: Mapping[str, Any],
        *,
        experiment: str = "Default",
        cron: str | None = None,
        image: str | None = None,
    ) -> Submitted:
        """Start a run, of the version that is there already or else of one uploaded now.

        Args:
            pipeline: name of one of ours.
            arguments: values of its parameters.
            experiment: Kubeflow's group of runs; it is made when missing.
            cron: start a run at these times from now on, six fields with seconds first, instead of
                one at once.
            image: in which steps run that need no accelerator.

        Raises:
            SubmitError: the pipeline has no such parameter, or the API refuses.
        """
        self._check(pipeline, arguments)
        with TemporaryDirectory() as aside, _quietly(self._host):
            package = Path(aside, f"{pipeline}.yaml")
            version = write_pipeline(pipeline, package, image=image or TRAIN_IMAGE)
            ids, uploaded = self._version(pipeline, version, package)
            group = self._client.create_experiment(experiment, namespace=self._namespace)
            given = {"params": dict(arguments), **ids}
            if cron:
                made = self._client.create_recurring_run(
                    group.experiment_id,
                    version,
                    cron_expression=cron,
                    max_concurrency=1,
                    no_catchup=True,
                    **given,
                )
                number, page = made.recurring_run_id, "recurringrun"
            else:
                made = self._client.run_pipeline(group.experiment_id, version, **given)
                number, page = made.run_id, "runs"
        url = f"{self._host}/#/{page}/details/{number}"
        return Submitted(number, url, version, uploaded)

    def wait(
        self,
        run_id: str,
        *,
        show: Callable[[str], None],
        pending: Callable[[str], list[str]] | None = None,
        seconds: float = SECONDS_BETWEEN_LOOKS,
    ) -> None:
        """Follow a run to its end.

        Args:
            run_id: of the run.
            show: takes a line for every change.
            pending: tells why a run's pods wait, for a label selector; see `pending_reasons`.
            seconds: between two looks.

        Raises:
            SubmitError: the run did not succeed; names steps and reasons.
        """
        shown: set[str] = set()

        def once(line: str) -> None:
            if line not in shown:
                shown.add(line)
                show(line)

        while True:
            with _quietly(self._host):
                run = self._client.get_run(run_id)
            once(f"run {run.state}")
            for task in _tasks(run):
                once(f"{task.display_name}: {task.state}")
            if run.state in ENDED:
                break
            for line in pending(f"{RUN_LABEL}={run_id}") if pending else ():
                once(line)
            time.sleep(seconds)
        if run.state != "SUCCEEDED":
            raise SubmitError("\n".join([f"run {run_id} {run.state}", *_reasons(run)]))

    def _check(self, pipeline: str, arguments: Mapping[str, Any]) -> None:
        inputs = load_pipeline(pipeline).component_spec.inputs or {}
        unknown = sorted(set(arguments) - set(inputs))
        if unknown:
            raise SubmitError(
                f"{pipeline} has no parameter {', '.join(unknown)}: it has {', '.join(inputs)}"
            )

    def _version(self, pipeline: str, version: str, package: Path) -> tuple[dict[str, str], bool]:
        """Find the version, or upload it; return its ids."""
        name = load_pipeline(pipeline).name
        pipeline_id = self._client.get_pipeline_id(name)
        if pipeline_id is None:
            self._client.upload_pipeline(str(package), name, namespace=self._namespace)
            pipeline_id = self._client.get_pipeline_id(name)
        else:
            known = self._versions(pipeline_id)
            if version in known:
                ids = {"pipeline_id": pipeline_id, "version_id": known[version]}
                return ids, False
        made = self._client.upload_pipeline_version(str(package), version, pipeline_id=pipeline_id)
        return {"pipeline_id": pipeline_id, "version_id": made.pipeline_version_id}, True

    def _versions(self, pipeline_id: str) -> dict[str, str]:
        found, token = {}, ""
        while True:
            answer = self._client.list_pipeline_versions(pipeline_id, page_token=token)
            for one in answer.pipeline_versions or ():
                found[one.display_name] = one.pipeline_version_id
            token = answer.next_page_token
            if not token:
                return found


def pending_reasons(api: "ApiClient", namespace: str, selector: str) -> list[str]:
    """Say why pods wait, or why they ended badly, one line each.

    Args:
        api: from `components.cluster.client.connect`.
        namespace: of the pods.
        selector: of their labels, such as `pipeline/runid=ID`.

    Raises:
        ClusterError: they cannot be read.
    """
    from components.cluster.apply import listed
    from components.cluster.client import EVENT, POD
    from components.cluster.reasons import troubles, warnings

    pods, _ = listed(api, POD, namespace=namespace, labels=selector)
    lines = [f"{trouble.text}{_wants(pod)}" for pod in pods for trouble in troubles(pod)]
    waiting = [
        pod["metadata"]["name"]
        for pod in pods
        if pod.get("status", {}).get("phase", "Pending") == "Pending" and not troubles(pod)
    ]
    if waiting:
        events, _ = listed(api, EVENT, namespace=namespace)
        lines += warnings(events, waiting)
    return lines


def _wants(pod: Mapping[str, Any]) -> str:
    """Say what a pod without a machine looks for."""
    spec = pod["spec"]
    if spec.get("nodeName"):
        return ""
    selector = ", ".join(f"{k}={v}" for k, v in sorted(spec.get("nodeSelector", {}).items()))
    limits = {
        name: amount
        for container in spec["containers"]
        for name, amount in container.get("resources", {}).get("limits", {}).items()
        if "/" in name and amount not in ("0", 0)
    }
    tolerated = [
        toleration["key"]
        for toleration in spec.get("tolerations", [])
        if "key" in toleration and not toleration["key"].startswith("node.kubernetes.io/")
    ]
    wants = [
        f"nodes with {selector}" if selector else "",
        *(f"{amount} {name}" for name, amount in sorted(limits.items())),
        f"tolerates {', '.join(tolerated)}" if tolerated else "tolerates no taint",
    ]
    return f" (it wants {'; '.join(want for want in wants if want)})"


def _tasks(run: Any) -> list[Any]:
    details = run.run_details.task_details if run.run_details else None
    return [task for task in details or () if task.state and task.display_name]


def _reasons(run: Any) -> Iterator[str]:
    failed = [task for task in _tasks(run) if task.state == "FAILED"]
    for task in failed:
        # The run and its loops fail along with the step that did.
        inner = {child.task_id for child in task.child_tasks or () if child.task_id}
        if inner & {other.task_id for other in failed}:
            continue
        said = task.error.message if task.error else "its pod's log says why"
        yield f"step {task.display_name}: {said}"
    if not failed and run.error:
        yield run.error.message


def _look(host: str) -> None:
    """Ask whether the API answers; kfp's own client would ask for half a minute."""
    import httpx

    token = os.environ.get(TOKEN)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.get(f"{host.rstrip('/')}/apis/v2beta1/healthz", headers=headers, timeout=30)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SubmitError(f"{host}: cannot be reached: {error}") from error
    if answer.status_code >= 400:
        raise SubmitError(f"{host}: refused: {answer.status_code} {_message(answer.text)}")


@contextlib.contextmanager
def _quietly(host: str) -> Iterator[None]:
    """Keep kfp from printing, and turn what its API refuses into one line."""
    import urllib3

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        except urllib3.exceptions.HTTPError as error:
            reason = getattr(error, "reason", error)
            raise SubmitError(f"{host}: cannot be reached: {reason}") from error
        except Exception as error:
            if type(error).__module__ != "kfp_server_api.exceptions":
                raise
            status, body = getattr(error, "status", ""), getattr(error, "body", "")
            raise SubmitError(f"{host}: refused: {status} {_message(body) or error}") from error


def _message(body: object) -> str:
    import json

    try:
        return str(json.loads(str(body))["message"])
    except (ValueError, KeyError, TypeError):
        return " ".join(str(body or "").split())[:300]
