"""What the Dockerfiles promise, before anything is built."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
FILES = ("Dockerfile.train", "Dockerfile.serve")
TARGETS = ("cpu", "cuda", "v100", "tensorflow")
# What tells one target of Dockerfile.train from another: the builds of torch and TensorFlow, and
# how the image is called.
OWN = ("ARG TORCH=", "ARG TORCH_FOR=", "ARG TENSORFLOW=")


def stages(name: str) -> dict[str, list[str]]:
    """Return the lines of each stage, by its name; comments and empty lines left out."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in (TREE / name).read_text().splitlines():
        stage = re.fullmatch(r"FROM (\S+) AS (\S+)", line)
        if stage:
            lines = found.setdefault(stage[2], [])
        if line and not line.startswith("#"):
            lines.append(line)
    return found


def pinned() -> dict[str, str]:
    lines = (TREE / "constraints.txt").read_text().splitlines()[1:]
    return dict(line.split("==") for line in lines)


@pytest.mark.parametrize("name", FILES)
def test_hadolint_finds_nothing(name):
    hadolint = Path(sys.executable).with_name("hadolint")
    told = [str(hadolint), "--config", str(TREE / ".hadolint.yaml"), str(TREE / name)]
    done = subprocess.run(told, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_gpu_targets_share_every_line_with_the_cpu_target_but_the_builds():
    found = stages("Dockerfile.train")

    def shared(target: str) -> list[str]:
        lines = found[f"{target}-packages"] + found[target]
        kept = [line for line in lines if not line.startswith(OWN)]
        # How the target is called, and what its label says of it.
        called = rf"\b{target}-packages\b|(?<= AS ){target}$|(?<=pipeline steps, )[^\"]+"
        return [re.sub(called, "TARGET", line) for line in kept if ".title=" not in line]

    for target in TARGETS[1:]:
        assert shared(target) == shared("cpu")


def test_every_target_says_which_builds_it_takes():
    found = stages("Dockerfile.train")
    for target in TARGETS:
        own = [line for line in found[f"{target}-packages"] if line.startswith(OWN)]
        assert [line.split("=")[0] for line in own] == [line.rstrip("=") for line in OWN]
        assert all("==" in line for line in own if "TORCH_FOR" not in line)


def test_the_cpu_target_takes_the_pinned_builds():
    lines = stages("Dockerfile.train")["cpu-packages"]
    assert f"ARG TORCH=torch=={pinned()['torch']}" in lines
    assert f"ARG TENSORFLOW=tensorflow-cpu=={pinned()['tensorflow_cpu']}" in lines


@pytest.mark.parametrize("name", FILES)
def test_no_host_is_named(name):
    """Base, Debian and Python packages come from where the site's arguments say."""
    text = (TREE / name).read_text()
    assert re.findall(r"https?://(?!127\.0\.0\.1)[\w.]+", text) == []
    assert re.findall(r"\b[\w-]+\.(?:io|com|org|dev|net)/", text) == []


@pytest.mark.parametrize("name", FILES)
def test_both_take_the_same_arguments_and_secrets(name):
    text = (TREE / name).read_text()
    for argument in ("BASE", "DEBIAN_MIRROR", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL",
                     "PIP_FIND_LINKS", "VERSION", "REVISION", "SOURCE"):  # fmt: skip
        assert re.search(rf"^ARG {argument}\b", text, re.MULTILINE), argument
    assert "--mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca" in text


@pytest.mark.parametrize("name", FILES)
def test_every_debian_package_has_a_version(name):
    text = (TREE / name).read_text().replace("\\\n", " ")
    asked = re.findall(r"apt-get install --yes --no-install-recommends ([^&;]+)", text)
    packages = [word for words in asked for word in words.split()]
    assert packages
    assert [word for word in packages if "=" not in word] == []
