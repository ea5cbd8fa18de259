"""The router's own pages, which nginx asks for on a Unix socket: /metrics and /status."""

import json
import os
import socket
import socketserver
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

SOCKET = "admin.sock"


class Admin:
    """A small server in threads of its own."""

    def __init__(self, state: Path, registry: CollectorRegistry, status: Callable[[], Any]):
        """Start it.

        Args:
            state: directory for its socket.
            registry: of /metrics.
            status: gives what /status says, as JSON values.
        """
        pages = {
            "/metrics": ("text/plain; version=0.0.4", lambda: generate_latest(registry)),
            "/status": ("application/json", lambda: json.dumps(status()).encode()),
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802
                page = pages.get(self.path)
                kind, content = page if page else ("text/plain", lambda: b"no such page\n")
                body = content()
                self.send_response(200 if page else 404)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def address_string(self) -> str:
                return "router"

            def log_message(self, format: str, *arguments: Any) -> None:
                """Say nothing: nginx is the only client."""

        (state / SOCKET).unlink(missing_ok=True)
        # A socket's path may have about 100 characters: the directory's handle shortens it.
        self._folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
        self._server = _Server(f"/proc/self/fd/{self._folder}/{SOCKET}", Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        os.close(self._folder)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    address_family = socket.AF_UNIX
    daemon_threads = True
