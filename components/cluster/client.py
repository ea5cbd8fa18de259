"""Talking to a cluster's API server."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from components.cluster.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    Gone,
    NotFound,
    Unreachable,
)

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

POD_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its own service account."""

REGISTRAR = Path("/var/run/intent/registrar")
"""Where a pipeline's step finds the service account that may register variants."""

CONNECT, READ = 5, 30
"""Seconds that a connection, and an answer, may take."""

_BY_CODE = {403: Forbidden, 404: NotFound, 409: Conflict, 410: Gone}


class Kind(NamedTuple):
    """A kind of resource; `group` is empty for those of the core."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """What a manifest's apiVersion says."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """Give the path of a resource, or of all in a namespace, on the API server."""
        root = "/apis" if self.group else "/api"
        parts = [root, self.api_version, "namespaces", namespace, self.plural, name, subresource]
        return "/".join(part for part in parts if part)


EXPERIMENT = Kind("intent-store.dev", "v1alpha1", "experiments", "Experiment")
INFERENCE_SERVICE = Kind("serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService")
TRAIN_JOB = Kind("trainer.kubeflow.org", "v1alpha1", "trainjobs", "TrainJob")
SPARK_APPLICATION = Kind("sparkoperator.k8s.io", "v1beta2", "sparkapplications", "SparkApplication")
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap")
EVENT = Kind("", "v1", "events", "Event")
POD = Kind("", "v1", "pods", "Pod")
SERVICE = Kind("", "v1", "services", "Service")
KINDS = (
    EXPERIMENT,
    INFERENCE_SERVICE,
    TRAIN_JOB,
    SPARK_APPLICATION,
    CONFIG_MAP,
    EVENT,
    POD,
    SERVICE,
)
"""Kinds of resources that are read or written."""


def connect(credentials: Path | None = None) -> "ApiClient":
    """Find the API server and an account for it; nothing is sent yet.

    Args:
        credentials: a mounted directory with a service account's `token`, `ca.crt` and
            `namespace`, used when it is there. Else KUBECONFIG or ~/.kube/config, else the pod's
            own account. The files are read again from time to time, since tokens change.

    Raises:
        ClusterError: there is none of them; says what was tried.
    """
    from kubernetes.client import ApiClient, Configuration
    from kubernetes.config import ConfigException, load_kube_config
    from kubernetes.config.incluster_config import InClusterConfigLoader

    def of_account(folder: Path, configuration: Configuration) -> None:
        InClusterConfigLoader(str(folder / "token"), str(folder / "ca.crt")).load_and_set(
            configuration
        )

    tried = []
    if credentials is not None and (credentials / "token").exists():
        configuration = Configuration()
        try:
            of_account(credentials, configuration)
        except (ConfigException, OSError) as error:
            raise ClusterError(f"{credentials}: no service account to use: {error}") from error
        return ApiClient(configuration)
    if credentials is not None:
        tried.append(f"{credentials} (no token there)")
    configuration = Configuration()
    try:
        load_kube_config(os.environ.get("KUBECONFIG"), client_configuration=configuration)
    except (ConfigException, OSError) as error:
        tried.append(f"KUBECONFIG or ~/.kube/config ({_one_line(error)})")
    else:
        return ApiClient(configuration)
    configuration = Configuration()
    try:
        of_account(POD_ACCOUNT, configuration)
    except (ConfigException, OSError) as error:
        tried.append(f"the pod's own account ({_one_line(error)})")
        raise ClusterError("no cluster to connect to; tried " + ", ".join(tried)) from error
    return ApiClient(configuration)


def own_namespace(credentials: Path | None = None) -> str:
    """Name the namespace that `connect` with the same credentials works in.

    That is what the mounted directory says, else kubeconfig's current context, else the pod's
    own, else `default`.

    Args:
        credentials: as for `connect`.
    """
    from kubernetes.config import ConfigException, list_kube_config_contexts

    if credentials is not None and (credentials / "namespace").exists():
        return (credentials / "namespace").read_text().strip()
    try:
        context = list_kube_config_contexts(os.environ.get("KUBECONFIG"))[1]["context"]
    except (ConfigException, OSError):
        if (POD_ACCOUNT / "namespace").exists():
            return (POD_ACCOUNT / "namespace").read_text().strip()
        return "default"
    return context.get("namespace") or "default"


def kind_of(manifest: Mapping[str, Any]) -> Kind:
    """Tell the kind of a manifest.

    Raises:
        ClusterError: it is none of `KINDS`.
    """
    for kind in KINDS:
        if (kind.api_version, kind.kind) == (manifest.get("apiVersion"), manifest.get("kind")):
            return kind
    said = f"{manifest.get('apiVersion')} {manifest.get('kind')}"
    raise ClusterError(f"{said}: not a kind of resource that is known here")


def send(
    api: "ApiClient",
    method: str,
    path: str,
    *,
    what: str,
    query: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | Sequence[Any] | None = None,
    content: str = "application/json",
    read: float = READ,
    stream: bool = False,
) -> Any:
    """Send one request to the API server.

    Args:
        api: from `connect`.
        method: of HTTP.
        path: on the server.
        what: is asked for, as an error names it: "Experiment intent/ranker".
        query: parameters.
        body: to send as JSON.
        content: its type.
        read: seconds that an answer, or the next piece of one that streams, may take.
        stream: whether to give the open answer (urllib3's) instead of what it says.

    Returns:
        The answer: what its JSON says, or its text when it is no JSON.

    Raises:
        ClusterError: or one of its kinds, with the server's own reason.
    """
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    pairs = [(key, value) for key, value in (query or {}).items() if value not in (None, "")]
    try:
        answer = api.call_api(
            path,
            method,
            query_params=pairs,
            header_params={"Content-Type": content, "Accept": "application/json, */*"},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _return_http_data_only=True,
            _request_timeout=(CONNECT, read),
        )
        if stream:
            return answer
        text = answer.data.decode()
    except ApiException as error:
        raise _refusal(error, what) from error
    except (HTTPError, OSError) as error:
        raise Unreachable(
            f"{what}: the API server at {api.configuration.host} does not answer: "
            f"{_one_line(error)}"
        ) from error
    try:
        return json.loads(text)
    except ValueError:
        return text


def _refusal(error: Any, what: str) -> ClusterError:
    """Make the server's refusal an error that names what was asked for and why it is refused."""
    if not error.status:
        return Unreachable(f"{what}: {_one_line(error.reason)}")
    try:
        said = json.loads(error.body)
        reason = said["message"]
    except (ValueError, TypeError, KeyError):
        said, reason = {}, f"{error.status} {error.reason}"
    causes = (said.get("details") or {}).get("causes") or []
    owned = [c for c in causes if c.get("reason") == "FieldManagerConflict"]
    if owned:
        whose = "; ".join(f"{c.get('field', '').lstrip('.')}: {c.get('message')}" for c in owned)
        reason = f"fields belong to others: {whose}"
    return _BY_CODE.get(error.status, ClusterError)(f"{what}: {_one_line(reason)}")


def _one_line(reason: object) -> str:
    return " ".join(str(reason).split())
