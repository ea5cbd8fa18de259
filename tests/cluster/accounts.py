"""Service accounts as a pod has them: a mounted directory with token, ca.crt and namespace."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml


def make_account(cluster, namespace: str, name: str, rules: Sequence[dict]) -> None:
    """Make a service account that may do what a Role's rules say."""
    reference = {"kind": "Role", "name": name, "apiGroup": "rbac.authorization.k8s.io"}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    made = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": name},
            "rules": list(rules),
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name},
            "roleRef": reference,
            "subjects": [subject],
        },
    ]
    cluster.kubectl("-n", namespace, "apply", "-f", "-", input=yaml.safe_dump_all(made))


def mount_account(
    cluster, namespace: str, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Write an account's files as a pod finds them, and say where the API server is."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": f"{name}-token",
            "annotations": {"kubernetes.io/service-account.name": name},
        },
    }
    cluster.kubectl("-n", namespace, "apply", "-f", "-", input=json.dumps(secret))
    data = cluster.wait_for(
        lambda: cluster.get("-n", namespace, "secret", f"{name}-token").get("data")
    )
    folder.mkdir(parents=True)
    for file in ("token", "ca.crt", "namespace"):
        (folder / file).write_bytes(base64.b64decode(data[file]))
    server = urlsplit(cluster.client().configuration.host)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", server.hostname)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    return folder
