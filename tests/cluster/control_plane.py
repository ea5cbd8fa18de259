"""A real Kubernetes control plane on this machine: etcd, API server, scheduler, controllers.

Everything listens on loopback, on ports that were free, and keeps its keys, data and logs in one
folder. There is no container runtime: nodes and what runs on them are played by `nodes` and
`kubelet`.
"""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.errors import IntentError

ADMIN_TOKEN = "admin"
_USERS = f'{ADMIN_TOKEN},admin,admin-uid,"system:masters"\n'
_PATIENCE = 180  # seconds until a program that does not become ready is given up
# Admission that the fake nodes could not live with: no kubelet of theirs would ever take the
# taint "not ready" off again.
_WITHOUT_ADMISSION = "TaintNodesByCondition"
# Controllers that would evict from nodes without heartbeats, or need a cloud.
_WITHOUT_CONTROLLERS = ("nodelifecycle", "nodeipam", "attachdetach", "cloud-node-lifecycle")


class ControlPlaneError(IntentError):
    """The test cluster does not come up; holds the end of the log of the program to blame."""


class ControlPlane:
    """The four programs of one cluster, started together and stopped together."""

    def __init__(self, home: Path, programs: Mapping[str, Path]):
        """Make the keys and choose the ports; `start` starts the programs.

        Args:
            home: an empty folder for keys, data and logs.
            programs: where etcd, kube-apiserver, kube-scheduler and kube-controller-manager lie.
        """
        self.home = home
        self.programs = programs
        self.kubeconfig = home / "kubeconfig"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._etcd, self._peers, self._api, self._scheduling, self._controlling = _free_ports(5)
        self.url = f"https://127.0.0.1:{self._api}"
        _make_keys(home)
        (home / "tokens.csv").write_text(_USERS)
        self.kubeconfig.write_text(json.dumps(_kubeconfig(self.url, home), indent=1))
        self.kubeconfig.chmod(0o600)

    def start(self) -> None:
        """Start everything, and wait until the API server says that it is ready.

        Raises:
            ControlPlaneError: a program ended, or is not ready in time.
        """
        try:
            self._start("etcd", self._etcd_flags())
            self.start_api_server()
            self._start("kube-scheduler", self._scheduler_flags())
            self._start("kube-controller-manager", self._controller_flags())
            self._wait("kube-controller-manager", self._has_controllers)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything; what is stopped already stays so."""
        for name in reversed(list(self._running)):
            self._kill(name)

    def start_api_server(self) -> None:
        """Start the API server, on the same port as ever, and wait until it is ready.

        Raises:
            ControlPlaneError: it ended, or is not ready in time.
        """
        self._start("kube-apiserver", self._api_server_flags())
        self._wait("kube-apiserver", lambda: self._get("/readyz") == "ok")

    def stop_api_server(self) -> None:
        """Kill the API server as a crash would: no connection is closed in an orderly way."""
        self._kill("kube-apiserver")

    def log(self, name: str) -> str:
        """Return what a program wrote so far."""
        return (self.home / f"{name}.log").read_text(errors="replace")

    def _etcd_flags(self) -> list[str]:
        client, peer = f"http://127.0.0.1:{self._etcd}", f"http://127.0.0.1:{self._peers}"
        return [
            f"--data-dir={self.home / 'etcd'}",
            *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
            *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"),
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--max-request-bytes=8388608",  # the largest custom resource definitions pass 1.5 MiB
        ]

    def _api_server_flags(self) -> list[str]:
        return [
            f"--etcd-servers=http://127.0.0.1:{self._etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._api}",
            f"--tls-cert-file={self.home / 'ca.crt'}",
            f"--tls-private-key-file={self.home / 'ca.key'}",
            f"--token-auth-file={self.home / 'tokens.csv'}",
            f"--service-account-key-file={self.home / 'accounts.pub'}",
            f"--service-account-signing-key-file={self.home / 'accounts.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",
            f"--disable-admission-plugins={_WITHOUT_ADMISSION}",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--endpoint-reconciler-type=none",
        ]

    def _scheduler_flags(self) -> list[str]:
        return [
            f"--kubeconfig={self.kubeconfig}",
            "--leader-elect=false",
            *("--bind-address=127.0.0.1", "--port=0", f"--secure-port={self._scheduling}"),
            f"--cert-dir={self.home / 'scheduler'}",
        ]

    def _controller_flags(self) -> list[str]:
        return [
            f"--kubeconfig={self.kubeconfig}",
            "--leader-elect=false",
            *("--bind-address=127.0.0.1", "--port=0", f"--secure-port={self._controlling}"),
            f"--cert-dir={self.home / 'controllers'}",
            f"--service-account-private-key-file={self.home / 'accounts.key'}",
            f"--root-ca-file={self.home / 'ca.crt'}",
            f"--controllers={','.join(['*', *('-' + name for name in _WITHOUT_CONTROLLERS)])}",
            "--namespace-sync-period=10s",
        ]

    def _has_controllers(self) -> bool:
        """Say whether the service account controllers work: pods need what they make."""
        account = self._get("/api/v1/namespaces/default/serviceaccounts/default")
        return bool(account and json.loads(account).get("secrets"))

    def _get(self, path: str) -> str | None:
        request = urllib.request.Request(
            self.url + path, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}
        )
        trust = ssl.create_default_context(cafile=str(self.home / "ca.crt"))
        try:
            with urllib.request.urlopen(request, timeout=5, context=trust) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, OSError):
            return None

    def _start(self, name: str, flags: Sequence[str]) -> None:
        # A test run that is killed must not leave a cluster behind.
        wrapper = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        # Nothing here reads what the programs of the machine were told about proxies or clouds.
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home)}
        with (self.home / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [*wrapper, str(self.programs[name]), *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def _kill(self, name: str) -> None:
        process = self._running.pop(name, None)
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def _wait(self, name: str, ready) -> None:
        end = time.monotonic() + _PATIENCE
        while not ready():
            ended = [each for each, process in self._running.items() if process.poll() is not None]
            if ended or time.monotonic() > end:
                blamed = ended[0] if ended else name
                raise ControlPlaneError(
                    f"{blamed} {'ended' if ended else f'is not ready after {_PATIENCE} s'}:\n"
                    + self.log(blamed)[-2000:]
                )
            time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    """Find ports that are free together."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _make_keys(home: Path) -> None:
    """Make the server's certificate, which is its own authority, and the key of the accounts."""
    curve = ("-pkeyopt", "ec_paramgen_curve:prime256v1")
    _openssl(
        *("req", "-x509", "-newkey", "ec", *curve, "-nodes", "-days", "7"),
        *("-subj", "/CN=kube-apiserver"),
        *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc"),
        *("-keyout", home / "ca.key", "-out", home / "ca.crt"),
    )
    _openssl("genrsa", "-out", home / "accounts.key", "2048")
    _openssl("rsa", "-in", home / "accounts.key", "-pubout", "-out", home / "accounts.pub")


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ControlPlaneError(f"openssl {arguments[0]} failed:\n{done.stderr[-1000:]}")


def _kubeconfig(url: str, home: Path) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "clusters": [
            {
                "name": "test",
                "cluster": {"server": url, "certificate-authority": str(home / "ca.crt")},
            }
        ],
        "users": [{"name": "admin", "user": {"token": ADMIN_TOKEN}}],
    }
