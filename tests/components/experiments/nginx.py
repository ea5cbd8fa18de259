"""Ask a real nginx which part of split_clients each unit falls into."""

import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.experiments.allocation import Segment
from serving.local.binaries import binary

_CONFIG = """
daemon off; pid {root}/nginx.pid; error_log {root}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {root}/t; proxy_temp_path {root}/t;
  fastcgi_temp_path {root}/t; uwsgi_temp_path {root}/t; scgi_temp_path {root}/t;
  keepalive_requests 1000000;
{splits}
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "{answer}"; }} }}
}}
"""
_REQUEST = b"GET / HTTP/1.1\r\nHost: n\r\nX-Unit: %b\r\n\r\n"


def split_by_nginx(
    splits: Mapping[str, tuple[str, Sequence[Segment]]], units: Sequence[str], root: Path
) -> dict[str, list[str]]:
    """Send one request per unit, many on the way at once, and read what nginx answers."""
    nginx = binary("nginx")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    blocks = [
        f'split_clients "{prefix}$http_x_unit" $v{number} {{ {_parts(runs)} }}'
        for number, (prefix, runs) in enumerate(splits.values())
    ]
    answer = ",".join(f"$v{number}" for number in range(len(splits)))
    (root / "nginx.conf").write_text(
        _CONFIG.format(root=root, port=port, splits="\n".join(blocks), answer=answer)
    )
    server = subprocess.Popen(
        [nginx, "-p", str(root), "-c", str(root / "nginx.conf")], stderr=subprocess.DEVNULL
    )
    try:
        answers = _ask(port, units)
    finally:
        server.terminate()
        server.wait()
    columns = zip(*(line.split(",") for line in answers), strict=True)
    return dict(zip(splits, map(list, columns), strict=True))


def _parts(runs: Sequence[Segment]) -> str:
    *first, last = runs
    return "".join(f"{run.percent:.2f}% {run.variant}; " for run in first) + f"* {last.variant};"


def _ask(port: int, units: Sequence[str]) -> list[str]:
    deadline = time.monotonic() + 10
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=10)
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "nginx did not start"
            time.sleep(0.02)
    answers = []
    with connection, connection.makefile("rb") as reader:
        for start in range(0, len(units), 200):
            some = units[start : start + 200]
            connection.sendall(
                b"".join(
                    b"GET / HTTP/1.1\r\nHost: n\r\nX-Unit: %b\r\n\r\n" % u.encode() for u in some
                )
            )
            for _ in some:
                length = 0
                while (line := reader.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                answers.append(reader.read(length).decode())
    return answers
