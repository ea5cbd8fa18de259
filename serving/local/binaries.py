"""The native programs that serving needs beside Python: found on the machine, or unpacked here.

`make` unpacks them from the machine's own Debian packages when the machine has none: nothing is
installed outside the environment, no service is started, and no rights are needed.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from components.errors import IntentError

NATIVE = Path(sys.prefix) / "native"
PACKAGES = {
    "nginx": "nginx",
    "redis-server": "redis-server",
    "redis-cli": "redis-tools",
    "wrk": "wrk",
    "etcd": "etcd-server",
    "promtool": "prometheus",
}
"""Debian's packages of the programs we start."""

_SYSTEM = ("/usr/sbin", "/usr/local/sbin", "/sbin")


class BinaryError(IntentError):
    """A program that is missing here; the message says how to get it."""


def binary(name: str) -> Path:
    """Return where a program lies: on the PATH, in the system's folders, or unpacked by `make`.

    Raises:
        BinaryError: it is nowhere.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM, str(NATIVE / "bin")])
    found = shutil.which(name, path=path)
    if found is None:
        package = PACKAGES.get(name, name)
        raise BinaryError(
            f"{name}: not on this machine. `make` unpacks it on Debian and Ubuntu; elsewhere take "
            f"it from the system's package manager (its package is called {package} on Debian)"
        )
    return Path(found)


def unpack(names: Sequence[str], target: Path = NATIVE) -> list[str]:
    """Unpack the programs that this machine lacks.

    Args:
        names: keys of PACKAGES.
        target: directory for the packages' files; `target/bin` gets a launcher for each program.

    Returns:
        The programs that were unpacked.

    Raises:
        BinaryError: a package cannot be had here; holds what apt said.
    """
    missing = [name for name in names if not _there(name)]
    if not missing:
        return []
    extract([PACKAGES[name] for name in missing], target)
    for name in missing:
        _launcher(name, target)
    return missing


def extract(packages: Sequence[str], target: Path) -> None:
    """Unpack Debian packages that this machine lacks, with what they need and it lacks too.

    Args:
        packages: names of packages, none of them installed.
        target: directory for the packages' files.

    Raises:
        BinaryError: one cannot be had here; holds what apt said.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise BinaryError(f"{', '.join(packages)}: not on this machine, which has no apt-get")
    lists = target / "apt"
    for folder in ("lists/partial", "archives/partial"):
        (lists / folder).mkdir(parents=True, exist_ok=True)
    apt = [
        "apt-get",
        "-qq",
        *("-o", f"Dir::State::lists={lists / 'lists'}"),
        *("-o", f"Dir::Cache={lists}"),
        *("-o", f"Dir::Cache::archives={lists / 'archives'}"),
        *("-o", "Debug::NoLocking=1"),
    ]
    _run([*apt, "update"], lists)
    planned = _run([*apt, "install", "--simulate", "--no-install-recommends", *packages], lists)
    needed = [line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")]
    _run([*apt, "download", *needed], lists / "archives")
    for archive in sorted((lists / "archives").glob("*.deb")):
        _run(["dpkg-deb", "--extract", str(archive), str(target)], lists)
    shutil.rmtree(lists)


def _there(name: str) -> bool:
    try:
        binary(name)
    except BinaryError:
        return False
    return True


def _launcher(name: str, target: Path) -> None:
    """Write a script that starts the program with the libraries it was unpacked with."""
    places = [target / folder / name for folder in ("usr/sbin", "usr/bin")]
    program = next((place for place in places if place.exists()), None)
    if program is None:
        raise BinaryError(f"{name}: not in Debian's package {PACKAGES[name]}")
    libraries = {str(path.parent) for path in target.rglob("*.so*")}
    launcher = target / "bin" / name
    launcher.parent.mkdir(exist_ok=True)
    launcher.write_text(
        "#!/bin/sh\n"
        f'export LD_LIBRARY_PATH="{":".join(sorted(libraries))}${{LD_LIBRARY_PATH:+:}}'
        '$LD_LIBRARY_PATH"\n'
        f'exec "{program}" "$@"\n'
    )
    launcher.chmod(0o755)


def _run(command: Sequence[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BinaryError(f"{' '.join(command[:2])} failed:\n{done.stderr.strip()[-1000:]}")
    return done.stdout


def main() -> int:
    """Unpack what is missing; the exit code is 1 when something cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m serving.local.binaries", description=__doc__)
    parser.add_argument("names", nargs="+", choices=sorted(PACKAGES), metavar="NAME")
    try:
        unpack(parser.parse_args().names)
    except BinaryError as error:
        print(f"intent: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
