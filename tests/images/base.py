"""A base image where no registry is at hand: Debian with Python, from the machine's own mirror."""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.images.errors import ImageError

RELEASE = "bookworm"
PACKAGES = ("ca-certificates", "python3.11", "python3.11-venv")
_SOURCES = "etc/apt/sources.list"
_INSTALL = """
apt-get update
apt-get upgrade --yes
apt-get install --yes --no-install-recommends {packages}
apt-get clean
rm -rf /var/lib/apt/lists/* /var/log/*
"""
_MADE = "2"  # to be raised when this file makes another image of the same input


class Suite(NamedTuple):
    """A line of the machine's sources: where a suite of Debian is fetched."""

    mirror: str
    name: str

    def __str__(self) -> str:
        return f"deb {self.mirror} {self.name} main"


def debian_base(buildah: Sequence[str], debootstrap: Sequence[str], home: Path) -> str:
    """Return the name of the base image; make it unless it is there.

    Args:
        buildah: the command with the options of its store.
        debootstrap: the command.
        home: directory for the work.

    Raises:
        ImageError: it cannot be made here; holds what apt or debootstrap said.
    """
    suites = suites_of_this_machine()
    made_of = repr((_MADE, PACKAGES, [str(suite) for suite in suites]))
    tag = hashlib.blake2b(made_of.encode(), digest_size=8).hexdigest()
    name = f"localhost/intent-store/base:{RELEASE}-{tag}"
    if _run([*buildah, "images", "--quiet", "--filter", f"reference={name}"]).strip():
        return name
    print(f"Making a base image of Debian {RELEASE} with Python 3.11, once (about a minute)...")
    folder = Path(tempfile.mkdtemp(dir=home))
    try:
        root = folder / "root"
        _run([*debootstrap, "--variant=minbase", RELEASE, str(root), suites[0].mirror])
        (root / _SOURCES).write_text("".join(f"{suite}\n" for suite in suites))
        archive = folder / "base.tar"
        _run(["tar", "--create", "--file", str(archive), "--directory", str(root), "."])
        container = _run([*buildah, "from", "scratch"]).strip()
        _run([*buildah, "add", "--quiet", container, str(archive), "/"])
        inside = [*buildah, "run", "--isolation", "chroot", container, "--", "sh", "-ec"]
        _run([*inside, _INSTALL.format(packages=" ".join(PACKAGES))])
        _run([*buildah, "commit", "--quiet", "--rm", container, name])
    finally:
        shutil.rmtree(folder)
    return name


def suites_of_this_machine() -> list[Suite]:
    """Return the suites of the release that the machine's apt knows, the release itself first.

    Raises:
        ImageError: it knows none.
    """
    if shutil.which("apt-get") is None:
        raise ImageError("a base image needs Debian's apt, or one is named: --base NAME")
    fields = "$(REPO_URI) $(RELEASE) $(ORIGIN)"
    listed = _run(["apt-get", "indextargets", "--format", fields, "Created-By: Packages"])
    return parse_suites(listed)


def parse_suites(listed: str) -> list[Suite]:
    """Parse what apt lists, of each target its address, suite and origin."""
    targets = [line.split() for line in listed.splitlines()]
    suites = {
        Suite(mirror, suite)
        for mirror, suite, *origin in targets
        if suite.split("-")[0] == RELEASE and origin in (["Debian"], [])
    }
    if RELEASE not in {suite.name for suite in suites}:
        raise ImageError(
            f"this machine's apt has no Debian {RELEASE}, so no base image is made: name one, "
            "with Python 3.11 in it: --base NAME"
        )
    return sorted(suites, key=lambda suite: (len(suite.name), suite))


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-1500:]
        raise ImageError(f"{' '.join(command[:6])} failed:\n{said}")
    return done.stdout
