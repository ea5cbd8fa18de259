"""Kubernetes' servers, built from Debian's source package with Debian's Go."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from serving.local.binaries import BinaryError, extract

SERVERS = ("kube-apiserver", "kube-scheduler", "kube-controller-manager")
_SYSTEM = Path("/")
_GO = "usr/lib/go-1.19"  # the newest that this Kubernetes is known to build with
_REFLECT = "usr/share/gocode/src/github.com/modern-go/reflect2"
_APT = Path("etc/apt")
# What a build needs of the machine: the package, and a file of it.
_TOOLS = {
    "golang-1.19-go": f"{_GO}/bin/go",
    "golang-github-modern-go-reflect2-dev": _REFLECT,
    "rsync": "usr/bin/rsync",
    "dpkg-dev": "usr/bin/dpkg-source",
}


def build(home: Path) -> tuple[str, list[Path]]:
    """Fetch the source and build the servers: about 8 minutes of one core.

    Args:
        home: an empty folder on a disk with 4 GB to spare; whoever made it removes it.

    Returns:
        The version of the source package, and where the programs lie.

    Raises:
        BinaryError: the tools or the source cannot be had here, or the build fails.
    """
    tools = home / "tools"
    missing = [package for package, file in _TOOLS.items() if not (_SYSTEM / file).exists()]
    if missing:
        tools.mkdir()
        extract(missing, tools)
    environment = _environment(home, tools)
    version, source = _fetch(home, environment)
    _mend(source, _find(_REFLECT, tools))
    print(f"Building Kubernetes {version}, once (5 to 15 minutes)...", flush=True)
    names = " ".join(f"cmd/{name}" for name in SERVERS)
    # Without the clouds' own providers, a third of the code.
    command = ["make", f"WHAT={names}", "GOFLAGS=-tags=providerless"]
    done = subprocess.run(command, cwd=source, env=environment, check=False)
    if done.returncode != 0:
        raise BinaryError(f"Kubernetes {version} does not build: see above")
    return version, [source / "_output" / "bin" / name for name in SERVERS]


def source_lists(apt: Path) -> Iterator[tuple[str, str]]:
    """Turn a machine's lists of packages into lists of their sources.

    Args:
        apt: apt's folder of configuration.

    Yields:
        A file name for `sources.list.d`, and its text.
    """
    parts = apt / "sources.list.d"
    for path in [apt / "sources.list", *sorted(parts.glob("*.list"))]:
        if path.is_file():
            found = re.findall(r"^\s*deb\s+(.+)$", path.read_text(), re.MULTILINE)
            yield path.stem + ".list", "".join(f"deb-src {rest}\n" for rest in found)
    for path in sorted(parts.glob("*.sources")):
        stanzas = re.split(r"\n\s*\n", path.read_text().strip())
        wanted = [
            re.sub(r"(?im)^Types:.*$", "Types: deb-src", stanza)
            for stanza in stanzas
            if re.search(r"(?im)^Types:.*\bdeb\b(?!-)", stanza)
            and not re.search(r"(?im)^Enabled:\s*no\b", stanza)
        ]
        yield path.name, "\n\n".join(wanted) + "\n"


def _find(file: str, tools: Path) -> Path:
    return tools / file if (tools / file).exists() else _SYSTEM / file


def _environment(home: Path, tools: Path) -> dict[str, str]:
    """Let the build find its tools, and write nowhere but in its own folder."""
    libraries = sorted({str(path.parent) for path in tools.rglob("*.so*")})
    folders = [str(_find(f"{_GO}/bin", tools)), str(tools / "usr/bin"), os.environ["PATH"]]
    return os.environ | {
        "PATH": os.pathsep.join(folders),
        "LD_LIBRARY_PATH": os.pathsep.join([*libraries, os.environ.get("LD_LIBRARY_PATH", "")]),
        "PERL5LIB": str(tools / "usr/share/perl5"),
        "HOME": str(home),
        "GOCACHE": str(home / "go-cache"),
        "GOPATH": str(home / "go"),
        "CGO_ENABLED": "0",
    }


def _fetch(home: Path, environment: dict[str, str]) -> tuple[str, Path]:
    """Download and unpack the source package, by an apt of our own."""
    parts, lists, folder = home / "apt", home / "lists", home / "source"
    for each in (parts, lists / "partial", folder):
        each.mkdir(parents=True)
    for name, text in source_lists(_SYSTEM / _APT):
        (parts / name).write_text(text)
    configuration = home / "apt.conf"
    configuration.write_text(
        'Dir::Etc::sourcelist "/dev/null";\n'
        f'Dir::Etc::sourceparts "{parts}";\n'
        f'Dir::State::lists "{lists}";\n'
        f'Dir::Cache "{home}";\n'
        'Debug::NoLocking "true";\n'
    )
    private = environment | {"APT_CONFIG": str(configuration)}
    # A list of another origin may have no sources; what matters is whether the package is found.
    subprocess.run(["apt-get", "-qq", "update"], env=private, capture_output=True, check=False)
    download = ["apt-get", "-qq", "source", "--download-only", "--only-source", "kubernetes"]
    _run(download, folder, private)
    package = next(folder.glob("*.dsc"))
    source = home / "kubernetes"
    _run(["dpkg-source", "--no-check", "-x", package.name, str(source)], folder, environment)
    version = re.search(r"(?m)^Version: (?:\d+:)?(\S+)$", package.read_text())
    return (version[1] if version else package.stem), source


def _mend(source: Path, reflect: Path) -> None:
    """Replace a library whose old version crashes under this Go on the first custom resource."""
    vendored = source / "vendor/github.com/modern-go/reflect2"
    shutil.rmtree(vendored)
    shutil.copytree(reflect, vendored)


def _run(command: Sequence[str], folder: Path, environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise BinaryError(f"{command[0]}: not on this machine") from None
    if done.returncode != 0:
        raise BinaryError(f"{' '.join(command[:3])} failed:\n{done.stderr.strip()[-1000:]}")
