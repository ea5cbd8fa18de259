"""Real Redis servers on free ports of this machine."""

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import redis

from serving.local.binaries import binary

READER, WRITER = ("reader", "read-me"), ("writer", "write-me")
_READS = "~intent:* -@all +@read +@connection"
ACL = [
    "user default off",
    f"user {READER[0]} on >{READER[1]} {_READS}",
    f"user {WRITER[0]} on >{WRITER[1]} {_READS} +@write +@scripting",
    "user admin on >admin ~* &* +@all",
]


@dataclass
class Server:
    """A redis-server that can be killed and started again on the same files."""

    directory: Path
    options: list[str] = field(default_factory=list)
    port: int = 0
    process: subprocess.Popen | None = None

    def start(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        plain = [] if "--tls-port" in self.options else ["--port", str(self.port)]
        options = [str(self.port) if one == "PORT" else one for one in self.options]
        self.process = subprocess.Popen(
            [
                str(binary("redis-server")),
                *plain,
                *["--bind", "127.0.0.1", "--dir", str(self.directory), "--save", ""],
                *options,
            ],
            stdout=(self.directory / "log.txt").open("w"),
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + 20
        while not self.answers():
            assert self.process.poll() is None, (self.directory / "log.txt").read_text()
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.02)
        return self

    def answers(self):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)):
                return False
        if "--tls-port" in self.options:
            return True
        try:
            return redis.Redis(port=self.port).ping()
        except redis.exceptions.BusyLoadingError:
            return False

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)


def cluster(directory: Path):
    """Start a cluster of three."""
    servers = []
    for node in range(3):
        options = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
        servers.append(Server(directory / str(node), options).start())
    clients = [redis.Redis(port=server.port) for server in servers]
    for node, client in enumerate(clients):
        first, last = 16384 * node // 3, 16384 * (node + 1) // 3 - 1
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
    for server in servers[1:]:
        bus = server.options[server.options.index("--cluster-port") + 1]
        clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", server.port, bus)
    deadline = time.monotonic() + 30
    while not all(b"cluster_state:ok" in whole_state(client) for client in clients):
        assert time.monotonic() < deadline, "the cluster does not form"
        time.sleep(0.05)
    return servers


def whole_state(client):
    answer = client.execute_command("CLUSTER INFO")
    if isinstance(answer, dict):
        known = answer["cluster_known_nodes"] == "3"
        return f"cluster_state:{answer['cluster_state'] if known else 'wait'}".encode()
    return answer


def encrypted(directory: Path):
    """Start a server that speaks TLS only, with users that may read, and read and write."""
    directory.mkdir(parents=True)
    key, certificate = directory / "key.pem", directory / "ca.pem"
    request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    request += ["-nodes", "-days", "2", "-subj", "/CN=store", "-addext"]
    request += ["subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *request], check=True, capture_output=True)
    users = directory / "users.acl"
    users.write_text("\n".join(ACL) + "\n")
    options = ["--port", "0", "--tls-port", "PORT", "--tls-auth-clients", "no"]
    options += ["--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    options += ["--tls-ca-cert-file", str(certificate), "--aclfile", str(users)]
    return Server(directory, options).start(), certificate


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
