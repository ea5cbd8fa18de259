"""What a Kubeflow Model Registry is told.

The registry itself is a Go program that no package ships: a small server answers instead, which
checks every request against the models that the registry's own API definition generated.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from mr_openapi import models

from components.variants.errors import VariantError
from components.variants.registry import register

CREATED = {
    "registered_models": models.RegisteredModelCreate,
    "model_versions": models.ModelVersionCreate,
    "artifacts": models.Artifact,
}


class Registry(BaseHTTPRequestHandler):
    def do_GET(self):
        path, asked = urlsplit(self.path), parse_qs(urlsplit(self.path).query)
        kind = path.path.rsplit("/", 1)[-1]
        if kind.endswith("s"):
            rows = self.server.rows.get(kind, [])
            return self._answer(
                200, {"items": rows, "size": len(rows), "pageSize": 100, "nextPageToken": ""}
            )
        for row in self.server.rows.get(f"{kind}s", []):
            parent = asked.get("parentResourceId", [row.get("registeredModelId")])[0]
            if row["name"] == asked["name"][0] and row.get("registeredModelId") == parent:
                return self._answer(200, row)
        return self._answer(404, {"code": "404", "message": "none"})

    def do_POST(self):
        kind = urlsplit(self.path).path.rsplit("/", 1)[-1]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        CREATED[kind].from_dict(body)
        rows = self.server.rows.setdefault(kind, [])
        rows.append(body | {"id": str(len(rows) + 1)})
        return self._answer(201, rows[-1])

    def _answer(self, status, row):
        content = json.dumps(row).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def model_registry(monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        server.rows = {}
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MODEL_REGISTRY_ADDRESS", f"http://127.0.0.1:{server.server_port}")
        yield server.rows
        server.shutdown()


def test_a_registered_variant_is_a_version_of_a_registered_model(package, tmp_path, model_registry):
    done = register(package().path, str(tmp_path / "registry"))
    assert [row["name"] for row in model_registry["registered_models"]] == ["ranker-full"]
    (version,) = model_registry["model_versions"]
    assert version["name"] == done.version
    assert version["customProperties"]["metrics.auc"]["double_value"] == 0.7
    assert version["customProperties"]["lineage.run"]["string_value"] == "quickstart-1"
    assert model_registry["artifacts"][0]["uri"] == done.uri


def test_the_same_version_is_told_once(package, tmp_path, model_registry):
    for _ in range(2):
        register(package().path, str(tmp_path / "registry"))
    register(package(seed=1).path, str(tmp_path / "registry"))
    assert len(model_registry["registered_models"]) == 1
    assert len(model_registry["model_versions"]) == 2


@pytest.mark.parametrize("address", ["127.0.0.1:1", "http://127.0.0.1:1"])
def test_a_registry_that_cannot_be_told_is_named(package, tmp_path, monkeypatch, address):
    monkeypatch.setenv("MODEL_REGISTRY_ADDRESS", address)
    with pytest.raises(VariantError, match="127.0.0.1:1: "):
        register(package().path, str(tmp_path / "registry"))
