"""buildah and debootstrap: the machine's own, or Debian's packages unpacked outside the tree."""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

from serving.local.binaries import BinaryError, extract
from tests.images.errors import ImageError

_SYSTEM = ("/usr/sbin", "/usr/local/sbin", "/sbin")
_PROGRAMS = {"buildah": "usr/bin/buildah", "debootstrap": "usr/sbin/debootstrap"}


class Tools(NamedTuple):
    """How each program is called, with the environment that it needs."""

    buildah: list[str]
    debootstrap: list[str]


def find_tools(home: Path) -> Tools:
    """Return the machine's programs; those that it lacks are unpacked, once.

    Args:
        home: directory for what is unpacked.

    Raises:
        ImageError: one is not on this machine, and its apt does not give it.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM])
    found = {name: shutil.which(name, path=path) for name in _PROGRAMS}
    missing = [name for name, place in found.items() if place is None]
    target = home / "debian"
    if missing and not all((target / _PROGRAMS[name]).exists() for name in missing):
        aside = home / "debian.new"
        shutil.rmtree(aside, ignore_errors=True)
        try:
            extract(missing, aside)
        except BinaryError as error:
            raise ImageError(f"no image can be built here: {error}") from error
        shutil.rmtree(target, ignore_errors=True)
        aside.rename(target)
    return Tools(
        *([found[name]] if found[name] else unpacked(name, target) for name in Tools._fields)  # type: ignore[misc]
    )


def unpacked(name: str, target: Path) -> list[str]:
    """Return how a program is called that was unpacked with its libraries and settings."""
    libraries = sorted({str(path.parent) for path in target.glob("usr/lib/**/*.so*")})
    settings = target / "home" / ".config"
    if not settings.exists() and (target / "etc" / "containers").exists():
        settings.mkdir(parents=True)
        (settings / "containers").symlink_to(target / "etc" / "containers")
    return [
        *("env", f"LD_LIBRARY_PATH={':'.join(libraries)}", f"HOME={target / 'home'}"),
        f"DEBOOTSTRAP_DIR={target / 'usr' / 'share' / 'debootstrap'}",
        str(target / _PROGRAMS[name]),
    ]
