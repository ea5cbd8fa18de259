"""The client: one request per question, with its unit, and errors a person can act on."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from serving.fortnight.client import Question, RouterClient
from serving.fortnight.errors import FortnightError


class Answers(BaseHTTPRequestHandler):
    """Echoes the instance; does what the question says instead of answering."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = body["instances"][0]
        self.server.units.append((self.path, self.headers["x-member-id"]))
        if asked.get("sleep"):
            time.sleep(asked["sleep"])
        status, said = asked.get("status", 200), asked.get("said")
        content = json.dumps(said or {"predictions": [asked]}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (("request-id", "r1"), ("intent-variant", "v1")):
            self.send_header(f"x-{name}", value)
        self.end_headers()
        self.wfile.write(content)
        if asked.get("hang_up"):
            self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as running:
        running.units = []
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()


def client(server, **settings):
    url = f"http://127.0.0.1:{server.server_port}"
    return RouterClient(url, **{"concurrency": 4, "timeout": 5, **settings})


def test_replies_come_in_the_order_of_the_questions(server):
    questions = [Question(f"m{n}", {"n": n, "sleep": 0.02 * (n % 3)}) for n in range(12)]
    with client(server) as router:
        replies = router.ask("ranker", questions)
    assert [reply.prediction["n"] for reply in replies] == list(range(12))
    assert sorted(server.units) == sorted(("/v1/models/ranker:predict", q.unit) for q in questions)
    assert {(reply.request_id, reply.variant) for reply in replies} == {("r1", "v1")}


def test_a_server_error_and_a_timeout_are_replies_without_a_prediction(server):
    questions = [
        Question("m1", {"status": 503}),
        Question("m2", {"sleep": 1.5}),
        Question("m3", {"said": {"predictions": "none"}}),
        Question("m4", {"n": 4}),
    ]
    with client(server, timeout=0.5) as router:
        failed, late, odd, good = router.ask("ranker", questions)
    assert (failed.prediction, failed.status) == (None, 503)
    assert (late.prediction, late.status) == (None, 0)
    assert odd.prediction is None
    assert good.prediction == {"n": 4}


def test_a_connection_that_was_closed_meanwhile_is_opened_again(server):
    with client(server, concurrency=1) as router:
        for _ in range(3):
            (reply,) = router.ask("ranker", [Question("m1", {"hang_up": True})])
            time.sleep(0.05)
            assert reply.status == 200


def test_a_refusal_says_what_was_refused(server):
    said = {"error": "instances[0].surface: unknown"}
    with client(server) as router, pytest.raises(FortnightError, match="surface: unknown"):
        router.ask("suggestions", [Question("m1", {"status": 400, "said": said})])


def test_a_router_that_is_away_is_named_with_the_way_out(server):
    router = client(server)
    server.shutdown()
    server.server_close()
    with router, pytest.raises(FortnightError, match=r"no router answers.*make serve"):
        router.ask("ranker", [Question("m1", {})])


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host", "http://"])
def test_an_address_is_checked_at_once(url):
    with pytest.raises(FortnightError, match="not an address"):
        RouterClient(url, concurrency=1, timeout=1)
