"""A small HTTP server in the place of Kubeflow Pipelines' API, which is written in Go.

It keeps pipelines, versions, experiments and runs, and takes a request only if it is what kfp's own
generated models describe: every field known, every type right, the specification a valid one.
"""

import json
import re
import threading
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from pipelines.compiled import Loader

# JSON of a 64-bit integer is text, and read from a number as well.
SCALARS = {"str": (str, int), "int": int, "bool": bool, "float": (int, float)}


def check(content, kind, where=""):
    """Raise ValueError unless JSON is what a generated model says."""
    model = getattr(kfp_server_api, kind, None)
    if model is None:
        if kind in SCALARS and not isinstance(content, SCALARS[kind]):
            raise ValueError(f"{where}: {content!r} is no {kind}")
        listed = re.fullmatch(r"list\[(\w+)\]", kind)
        for number, one in enumerate(content if listed else ()):
            check(one, listed[1], f"{where}[{number}]")
        return
    names = {name: attribute for attribute, name in model.attribute_map.items()}
    if isinstance(content, str):  # an enumeration
        assert content in model.allowable_values
        return
    for name, value in content.items():
        if name not in names:
            raise ValueError(f"{where}.{name}: {kind} has no such field")
        check(value, model.openapi_types[names[name]], f"{where}.{name}")


class KfpApi:
    """The server, and what it was told."""

    def __init__(self, token=None):
        self.token = token
        self.pipelines, self.versions, self.experiments = {}, {}, {}
        self.runs, self.recurring, self.states = {}, {}, []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self._answer("GET")

            def do_POST(self):
                self._answer("POST")

            def _answer(self, method):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                url = urlsplit(self.path)
                asked = {name: values[0] for name, values in parse_qs(url.query).items()}
                status, answer = api.answer(
                    method, url.path.removeprefix("/apis/v2beta1/"), asked, body, self.headers
                )
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *about):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *about):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method, path, asked, body, headers):
        if self.token and headers.get("authorization") != f"Bearer {self.token}":
            return 401, {"code": 16, "message": "no or wrong token"}
        try:
            return 200, self._do(method, path, asked, body, headers)
        except (ValueError, AssertionError, json_format.ParseError) as error:
            return 400, {"code": 3, "message": f"invalid: {error}"}
        except KeyError as error:
            return 404, {"code": 5, "message": f"{path}: {error} not found"}

    def _do(self, method, path, asked, body, headers):
        first, *rest = path.split("/")
        if path == "healthz":
            return {"multi_user": False}
        if method == "POST" and path == "pipelines/upload":
            return self._upload(asked, body, headers, None)
        if method == "POST" and path == "pipelines/upload_version":
            return self._upload(asked, body, headers, asked["pipelineid"])
        if path == "pipelines":
            return {"pipelines": _named(self.pipelines, asked)}
        if first == "pipelines" and rest[1:] == ["versions"]:
            found = [one for one in self.versions.values() if one["pipeline_id"] == rest[0]]
            return {"pipeline_versions": found}
        if first == "pipelines":
            return self.pipelines[rest[0]]
        if first == "experiments":
            return self._experiment(method, rest, asked, body)
        if first in ("runs", "recurringruns"):
            return self._run(method, first, rest, body)
        raise KeyError(path)

    def _upload(self, asked, body, headers, pipeline_id):
        head = f"content-type: {headers['content-type']}\r\n\r\n".encode()
        (part,) = BytesParser().parsebytes(head + body).get_payload()
        spec, platform = yaml.load_all(part.get_payload(decode=True), Loader=Loader)
        json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
        name = asked.get("display_name") or asked.get("name")
        if pipeline_id is None:
            pipeline_id = f"p{len(self.pipelines)}"
            made = {"pipeline_id": pipeline_id, "display_name": name, "name": name}
            self.pipelines[pipeline_id] = made
            self._version(pipeline_id, name)
            return made
        return self._version(pipeline_id, name)

    def _version(self, pipeline_id, name):
        number = f"v{len(self.versions)}"
        self.versions[number] = {
            "pipeline_id": self.pipelines[pipeline_id]["pipeline_id"],
            "pipeline_version_id": number,
            "display_name": name,
            "name": name,
        }
        return self.versions[number]

    def _experiment(self, method, rest, asked, body):
        if method == "POST":
            content = json.loads(body)
            check(content, "V2beta1Experiment")
            number = f"e{len(self.experiments)}"
            self.experiments[number] = {**content, "experiment_id": number}
            return self.experiments[number]
        if rest:
            return self.experiments[rest[0]]
        return {"experiments": _named(self.experiments, asked)}

    def _run(self, method, kind, rest, body):
        kept, key, model = {
            "runs": (self.runs, "run_id", "V2beta1Run"),
            "recurringruns": (self.recurring, "recurring_run_id", "V2beta1RecurringRun"),
        }[kind]
        if method == "POST":
            content = json.loads(body)
            check(content, model)
            reference = content["pipeline_version_reference"]
            version = self.versions[reference["pipeline_version_id"]]
            assert version["pipeline_id"] == reference["pipeline_id"]
            assert content["experiment_id"] in self.experiments
            number = f"{kind[0]}{len(kept)}"
            kept[number] = {**content, key: number}
            return kept[number]
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return {**kept[rest[0]], **state}


def _named(kept, asked):
    found = list(kept.values())
    if "filter" in asked:
        (predicate,) = json.loads(asked["filter"])["predicates"]
        wanted = predicate.get("stringValue") or predicate.get("string_value")
        key = predicate["key"]
        found = [
            one for one in found if one.get(key) == wanted or one.get("display_name") == wanted
        ]
    return found
