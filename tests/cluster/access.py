"""A cluster as the tests use it: kubectl, helm, and a client, all as its administrator."""

import inspect
import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from components.errors import IntentError
from tests.cluster.control_plane import ControlPlane
from tests.cluster.crds import install_crds, is_published

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_PATIENCE = 600  # seconds that one command may take


class CommandError(IntentError):
    """A command that failed; holds what it wrote to stderr."""


class Cluster:
    """One cluster that every test of a session shares: tests keep to namespaces of their own."""

    def __init__(
        self,
        kubeconfig: Path,
        programs: Mapping[str, Path],
        home: Path,
        control_plane: ControlPlane | None = None,
    ):
        """Describe a cluster that runs.

        Args:
            kubeconfig: an administrator's.
            programs: where kubectl and helm lie.
            home: a folder for helm's and kubectl's own files.
            control_plane: the programs behind it, when they are ours.
        """
        self.kubeconfig = kubeconfig
        self.home = home
        self.is_ours = control_plane is not None
        self._control_plane = control_plane
        self._programs = programs
        self._api: ApiClient | None = None
        self._release: str | None = None

    def kubectl(self, *arguments: str, input: str | None = None, check: bool = True) -> str:
        """Run kubectl and return what it printed.

        Args:
            arguments: as on the command line.
            input: what it reads from stdin, for `-f -`.
            check: whether failing raises; without it, what it wrote to stderr is returned too.

        Raises:
            CommandError: it failed.
        """
        return self._command("kubectl", arguments, input, check)

    def helm(self, *arguments: str, check: bool = True) -> str:
        """Run helm and return what it printed; see `kubectl`."""
        return self._command("helm", arguments, None, check)

    def get(self, *arguments: str) -> Any:
        """Return what `kubectl get ... -o json` prints."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def make_namespace(self) -> str:
        """Make a namespace with a random name, and wait until pods may be created in it."""
        name = f"test-{uuid.uuid4().hex[:8]}"
        self.kubectl("create", "namespace", name)
        self.wait_for_account(name)
        return name

    def wait_for_account(self, namespace: str) -> None:
        """Wait until pods may be made in a new namespace: its default account has a token then."""
        pod = ("-n", namespace, "run", "probe", "--image=none.test/probe", "--dry-run=server")
        self.wait_for(lambda: "created" in self.kubectl(*pod, check=False))

    def wait_for(self, condition: Callable[[], Any], seconds: float = 120) -> Any:
        """Ask again and again until the answer is true, and return it.

        Raises:
            TimeoutError: it is not within that time.
        """
        end = time.monotonic() + seconds
        while not (answer := condition()):
            if time.monotonic() > end:
                raise TimeoutError(f"not so after {seconds:g} s: {inspect.getsource(condition)}")
            time.sleep(0.1)
        return answer

    def client(self) -> "ApiClient":
        """Return a client of the API server."""
        if self._api is None:
            from kubernetes import config

            self._api = config.new_client_from_config(str(self.kubeconfig))
        return self._api

    def install_crds(self, release: str = "newest", *, again: bool = False) -> None:
        """Install Experiment's definition and those of the projects that we build on.

        Args:
            release: newest | 26.03, the Kubeflow release whose definitions are wanted.
            again: whether one may be gone since the last time.
        """
        if again or release != self._release:
            changed = install_crds(self.client(), release, replace=self.is_ours)
            self._release = release
            if changed and self._control_plane is not None:
                # A server that starts publishes all of them at once; one that runs does so one by
                # one, which costs it seconds each.
                self._control_plane.stop_api_server()
                self._control_plane.start_api_server()
                self.wait_for(lambda: is_published(self.client(), changed), seconds=180)

    def stop_api_server(self) -> None:
        """Kill the API server; a test that does so starts it again whatever happens."""
        self._own().stop_api_server()

    def start_api_server(self) -> None:
        """Start the API server again, and wait until it is ready."""
        self._own().start_api_server()

    def _own(self) -> ControlPlane:
        if self._control_plane is None:
            pytest.skip("kills the API server, which only a cluster of our own may lose")
        return self._control_plane

    def _command(self, name: str, arguments: tuple[str, ...], text: str | None, check: bool) -> str:
        folders = {
            variable: str(self.home / "helm" / variable.lower())
            for variable in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")
        }
        done = subprocess.run(
            [str(self._programs[name]), *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
            env=os.environ | folders | {"KUBECONFIG": str(self.kubeconfig), "NO_PROXY": "*"},
        )
        if done.returncode == 0:
            return done.stdout
        if not check:
            return done.stdout + done.stderr
        raise CommandError(f"{name} {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
