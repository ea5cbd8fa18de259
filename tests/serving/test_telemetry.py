"""Every call is counted by experiment, logged as one line, and part of its caller's trace."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from tests.serving.run import serving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADERS = {
    "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
    "x-request-id": "request-7",
    "x-member-id": "somebody",
    "x-intent-experiment": "vectors",
    "x-intent-variant": "treatment",
}


def counted(server, name, **labels):
    """Return the value of a metric."""
    families = text_string_to_metric_families(server.http.get("/metrics").text)
    samples = (sample for family in families for sample in family.samples)
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def test_calls_are_counted_by_experiment_and_variant(server):
    labels = {
        "service": "encoder",
        "model": "encoder-finetuned",
        "experiment": "ramp-1",
        "variant": "treatment",
    }
    headers = {"x-intent-experiment": "ramp-1", "x-intent-variant": "treatment"}
    for _ in range(3):
        server.answer("encoder", {"text": "a"}, {"text": "b"}, headers=headers)
    assert server.ask("encoder", {"words": 1}, headers=headers).status_code == 400
    assert counted(server, "intent_requests_total", code="200", **labels) == 3
    assert counted(server, "intent_instances_total", **labels) == 6
    assert counted(server, "intent_request_seconds_count", **labels) == 3
    refused = {"experiment": "ramp-1", "code": "400"}
    assert counted(server, "intent_requests_total", **refused) == 1


def test_callers_cannot_make_labels_without_end(server):
    for number in range(120):
        headers = {"x-intent-experiment": f"made-up-{number}", "x-intent-variant": "x"}
        server.answer("encoder", {"text": "a"}, headers=headers)
    server.answer("encoder", {"text": "a"}, headers={"x-intent-experiment": 'a"b'})
    families = list(text_string_to_metric_families(server.http.get("/metrics").text))
    (requests,) = (family for family in families if family.name == "intent_requests")
    pairs = {(s.labels["experiment"], s.labels["variant"]) for s in requests.samples}
    assert len(pairs) <= 102
    assert {("other", "other"), ("invalid", "invalid")} <= pairs


def test_readiness_and_the_store_are_counted(made, server):
    member = made.members().member_ids[0].as_py()
    server.answer("suggestions-finetuned", {"member_id": member})
    assert counted(server, "intent_model_ready", model="encoder-finetuned") == 1
    asked = {"dataset": "finetuned", "outcome": "answered"}
    assert counted(server, "intent_store_lookups_total", **asked) >= 1


class Collector(ThreadingHTTPServer):
    """Takes spans as an OpenTelemetry collector does."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Taking)
        self.spans = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def of_trace(self):
        return [span for span in self.spans if span.trace_id.hex() == TRACE]


class Taking(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector():
    taking = Collector()
    yield taking
    taking.shutdown()
    taking.server_close()


def test_a_ranker_apart_from_its_transformer_gives_the_scores_of_one_process_in_one_trace(
    made, server, tmp_path, collector
):
    package = [made.package("ranker-full-vector")]
    member = made.members().member_ids[5].as_py()
    asked = {"member_id": member, "query": "nurse", "items": ["a", "b", "c"]}
    exporting = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}"}
    logged = "--access-log", "--watch", "0"
    with serving(
        tmp_path, package, "--part", "predictor", *logged, environment=exporting
    ) as predictor:
        behind = "--part", "transformer", "--predictor-host", predictor.url.removeprefix("http://")
        with serving(
            tmp_path, package, *behind, "--store", made.store, *logged, environment=exporting
        ) as transformer:
            (expected,) = server.answer("ranker", asked)
            (said,) = transformer.answer("ranker", asked, headers=HEADERS)
            assert said["vector"] is True
            assert said["scores"] == pytest.approx(expected["scores"], abs=1e-5)
            assert said["ranked"] == expected["ranked"]
            line = _line_of(predictor)
            fields = {"query_words": [1], "continuous": [["x"]]}
            refused = predictor.ask("ranker", fields)
            assert refused.status_code == 400
            predictor.process.kill()
            predictor.process.wait()
            failed = transformer.ask("ranker", asked)
            assert failed.status_code == 503
            assert "its predictor" in failed.json()["error"]
    # What a predictor is told: trace, request, experiment; its log line shows it.
    wanted = {"trace_id": TRACE, "request_id": "request-7", "experiment": "vectors"}
    assert wanted.items() <= line.items()
    caller = HEADERS["traceparent"].split("-")[2]
    (outer,) = (span for span in collector.of_trace() if span.parent_span_id.hex() == caller)
    inner = [s.name for s in collector.of_trace() if s.parent_span_id == outer.span_id]
    assert outer.name == "POST /v1/models/ranker:predict"
    assert inner == ["store vectors", "predictor"]


def _line_of(server):
    lines = map(json.loads, filter(lambda text: text.startswith("{"), _lines(server)))
    return next(line for line in lines if line.get("request_id"))


def _lines(server):
    return server.log.read_text().splitlines()
