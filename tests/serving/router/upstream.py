"""Small real servers for the router to stand before."""

import json
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Upstream:
    """Answers every path with what it was asked, under its name.

    Attributes:
        asked: the requests so far: path, headers (keys in lower case) and body of each.
        status: of its answers.
        delay: seconds before it answers.
        free: cleared, it answers nobody until it is set.
    """

    def __init__(self, name):
        self.name, self.status, self.delay = name, 200, 0.0
        self.asked = []
        self.free = threading.Event()
        self.free.set()
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                size = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(size).decode("utf-8", "replace")
                headers = {key.lower(): value for key, value in self.headers.items()}
                upstream.asked.append((self.path, headers, body))
                time.sleep(upstream.delay)
                upstream.free.wait(60)
                answer = json.dumps({"name": upstream.name, "path": self.path, "body": body})
                self.send_response(upstream.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("X-Intent-Variant", "a lie")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                with suppress(OSError):
                    self.wfile.write(answer.encode())

            do_GET = do_POST

            def log_message(self, *arguments):
                pass

        self._handler = Handler
        self.port = 0
        self.start()

    def start(self):
        self._server = _Server(("127.0.0.1", self.port), self._handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        """Refuse connections, and cut those there are."""
        self._server.shutdown()
        self._server.server_close()
        self._server.cut()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, *arguments):
        self._open = set()
        super().__init__(*arguments)

    def get_request(self):
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request):
        self._open.discard(request)
        super().shutdown_request(request)

    def cut(self):
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(2)

    def handle_error(self, request, client_address):
        pass
