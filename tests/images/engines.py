"""What builds images and runs them here: docker or podman, else Debian's buildah.

buildah needs neither a daemon nor containers: it builds in a chroot, and what it built is run in
one, in a mount namespace whose root file system is read-only.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tests.images.base import debian_base
from tests.images.errors import ImageError
from tests.images.pip import PipSettings
from tests.images.tools import find_tools


class Recipe(NamedTuple):
    """One image.

    Attributes:
        file: name of the Dockerfile.
        target: its stage.
        repository: the image's name, without tag.
    """

    file: str
    target: str
    repository: str


class Opened(Protocol):
    """An image that is looked into and run.

    Attributes:
        root: its files, to be read.
        config: its configuration: User, Env, Labels, Entrypoint, Healthcheck...
    """

    root: Path
    config: dict[str, Any]

    def command(
        self,
        *words: str,
        mounts: Mapping[Path, str] | None = None,
        environment: Mapping[str, str] | None = None,
        entry: bool = True,
    ) -> list[str]:
        """Return the command that runs words in the image, as its user, its root read-only.

        Args:
            words: what follows the entry point.
            mounts: of directories here, their places in the image.
            environment: variables beside the image's.
            entry: whether the entry point comes first; False does as Kubernetes' `command`.
        """


class Engine(Protocol):
    """What builds and runs."""

    def build(self, recipe: Recipe, tag: str, tree: Path, arguments: Mapping[str, str]) -> None:
        """Build a recipe from a source tree; prints what the engine prints."""

    def open(self, tag: str) -> AbstractContextManager[Opened]:
        """Open an image."""


def find_engine(home: Path) -> Engine:
    """Return what this machine has.

    Args:
        home: directory of buildah's images.

    Raises:
        ImageError: it has nothing that builds; says what is missing.
    """
    for name in ("docker", "podman"):
        if shutil.which(name) and _answers([name, "info"]):
            return Containers(name)
    if os.geteuid() != 0:
        raise ImageError(
            "no image can be built here: neither docker nor podman answers, and only root may let "
            f"buildah build in a chroot (this is user {os.geteuid()})"
        )
    return Buildah(home)


class Containers:
    """docker or podman, which share their command line."""

    def __init__(self, program: str):
        self._program = program

    def build(self, recipe: Recipe, tag: str, tree: Path, arguments: Mapping[str, str]) -> None:
        """Build a recipe from a source tree; prints what the engine prints."""
        pip = PipSettings.of_this_machine()
        if pip.folders and self._program == "docker":
            raise ImageError(
                f"pip is configured to read {', '.join(map(str, pip.folders))}, which docker's "
                "builds do not see: serve it over HTTP, or build with podman or buildah"
            )
        _build([self._program, "build"], recipe, tag, tree, arguments, pip)

    @contextmanager
    def open(self, tag: str) -> Iterator[Opened]:
        """Open an image; its files are copied out."""
        config = json.loads(_out([self._program, "image", "inspect", tag]))[0]["Config"]
        container = _out([self._program, "create", tag]).strip()
        try:
            with tempfile.TemporaryDirectory() as folder:
                archive = Path(folder, "root.tar")
                _out([self._program, "export", "--output", str(archive), container])
                root = Path(folder, "root")
                root.mkdir()
                _out(["tar", "--extract", "--file", str(archive), "--directory", str(root)])
                archive.unlink()
                yield _Container(root, config, self._program, tag)
        finally:
            _out([self._program, "rm", container])


class _Container(NamedTuple):
    root: Path
    config: dict[str, Any]
    program: str
    tag: str

    def command(
        self,
        *words: str,
        mounts: Mapping[Path, str] | None = None,
        environment: Mapping[str, str] | None = None,
        entry: bool = True,
    ) -> list[str]:
        options = ["--rm", "--init", "--read-only", "--tmpfs", "/tmp:exec", "--network", "host"]
        for here, there in (mounts or {}).items():
            options += ["--volume", f"{here}:{there}"]
        for name, value in (environment or {}).items():
            options += ["--env", f"{name}={value}"]
        if entry:
            return [self.program, "run", *options, self.tag, *words]
        return [self.program, "run", *options, "--entrypoint", words[0], self.tag, *words[1:]]


class Buildah:
    """Debian's buildah with a store of its own, on a base that debootstrap makes."""

    def __init__(self, home: Path):
        self._home = home
        home.mkdir(parents=True, exist_ok=True)
        tools = find_tools(home)
        self._debootstrap = tools.debootstrap
        for driver in ("overlay", "vfs"):  # vfs copies every layer whole, but works everywhere
            self._buildah = [
                *(*tools.buildah, "--root", str(home / driver)),
                *("--runroot", str(home / f"{driver}-run")),
                *("--storage-driver", driver),
            ]
            if _answers([*self._buildah, "info"]):
                return
        raise ImageError(f"{home}: buildah can keep no images there")

    def build(self, recipe: Recipe, tag: str, tree: Path, arguments: Mapping[str, str]) -> None:
        """Build a recipe from a source tree; prints what the engine prints."""
        given = dict(arguments)
        if "BASE" not in given:
            given["BASE"] = debian_base(self._buildah, self._debootstrap, self._home)
        command = [
            *(*self._buildah, "build", "--layers", "--isolation", "chroot", "--pull-never"),
            *("--format", "docker"),  # OCI's has no health check
        ]
        _build(command, recipe, tag, tree, given, PipSettings.of_this_machine())

    @contextmanager
    def open(self, tag: str) -> Iterator[Opened]:
        """Open an image, mounted here."""
        about = json.loads(_out([*self._buildah, "inspect", "--type", "image", tag]))
        container = _out([*self._buildah, "from", "--pull-never", tag]).strip()
        try:
            root = Path(_out([*self._buildah, "mount", container]).strip())
            yield _Chroot(root, about["Docker"]["config"])
        finally:
            _out([*self._buildah, "umount", container])
            _out([*self._buildah, "rm", container])


# $1 is the root, $2 how many mounts follow in pairs; then the command within.
_ENTER = """
set -e
root=$1; pairs=$2; shift 2
mount --bind "$root" "$root"
mount --types tmpfs --options mode=1777 tmpfs "$root/tmp"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
while [ "$pairs" -gt 0 ]; do
  mkdir --parents "$root$2"
  mount --bind "$1" "$root$2"
  shift 2; pairs=$((pairs - 1))
done
mount --options remount,bind,ro "$root"
exec "$@"
"""


class _Chroot(NamedTuple):
    root: Path
    config: dict[str, Any]

    def command(
        self,
        *words: str,
        mounts: Mapping[Path, str] | None = None,
        environment: Mapping[str, str] | None = None,
        entry: bool = True,
    ) -> list[str]:
        pairs = [str(word) for pair in (mounts or {}).items() for word in pair]
        more = [f"{name}={value}" for name, value in (environment or {}).items()]
        return [
            *("unshare", "--mount", "sh", "-c", _ENTER, "enter"),
            *(str(self.root), str(len(pairs) // 2), *pairs),
            *("chroot", f"--userspec={self.config['User']}", str(self.root)),
            *("env", "--ignore-environment", f"--chdir={self.config['WorkingDir']}"),
            *(*self.config["Env"], *more),
            *(*(self.config["Entrypoint"] if entry else ()), *words),
        ]


def _build(
    command: Sequence[str],
    recipe: Recipe,
    tag: str,
    tree: Path,
    arguments: Mapping[str, str],
    pip: PipSettings,
) -> None:
    given = [word for pair in arguments.items() for word in ("--build-arg", "=".join(pair))]
    volumes = [word for path in pip.folders for word in ("--volume", f"{path}:{path}:ro")]
    with tempfile.TemporaryDirectory() as folder:
        told = [
            *command,
            *("--file", str(tree / recipe.file), "--target", recipe.target, "--tag", tag),
            *(*given, *volumes, *pip.secrets(Path(folder)), str(tree)),
        ]
        if subprocess.run(told, check=False).returncode != 0:
            raise ImageError(f"{recipe.file}: {recipe.target} was not built; its log is above")


def _answers(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _out(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ImageError(f"{' '.join(command[:7])} failed:\n{done.stderr.strip()[-1500:]}")
    return done.stdout
