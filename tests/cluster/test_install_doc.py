"""docs/install.md: every command of it is run, in order, or says why it cannot be."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cluster.binaries import clients
from tests.cluster.older import copy_chart, copy_manifests

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "install.md"
EXPERIMENTS = "experiments.intent-store.dev"
"""The definition that comes with the chart; the cluster's is out of its way meanwhile."""
PATIENCE = 300  # seconds that one block may take


class Block(NamedTuple):
    """Commands of the page.

    Attributes:
        line: at which they stand.
        commands: for a shell.
        output: that is shown below them; None where none is.
        not_run: why they are not run; "" when they are.
        release: of Kubeflow that is there from here on; "" for the one before.
    """

    line: int
    commands: str
    output: str | None
    not_run: str
    release: str


def blocks():
    """Read the page."""
    text = PAGE.read_text()
    pattern = re.compile(
        r"(?:^<!-- (?P<what>not run|on): (?P<told>.+?) -->\n)?"
        r"^```sh\n(?P<commands>.*?)^```\n(?:^```text\n(?P<output>.*?)^```\n)?",
        re.MULTILINE | re.DOTALL,
    )
    return [
        Block(
            line=text.count("\n", 0, found.start()) + 1,
            commands=found["commands"],
            output=found["output"],
            not_run=found["told"] if found["what"] == "not run" else "",
            release=found["told"] if found["what"] == "on" else "",
        )
        for found in pattern.finditer(text)
    ]


def test_a_block_is_run_or_says_why_not():
    found = blocks()
    assert len(found) == PAGE.read_text().count("```sh")
    assert sum(not each.not_run for each in found) > 15
    for each in found:
        assert each.release in ("", "26.03"), each.line
        assert not each.not_run or len(each.not_run) > 20, f"line {each.line}: no reason"
    assert "```bash" not in PAGE.read_text(), "blocks that nobody would run"


def test_both_ways_and_every_stage_are_in_the_page():
    run = "".join(each.commands for each in blocks() if not each.not_run)
    for command in (
        *("helm install", "helm test", "helm upgrade", "helm rollback", "helm uninstall"),
        *("kubectl apply --kustomize", "kubectl diff --kustomize", "kubectl kustomize"),
        *("helm template", "python -m k8s.render", "patch experiment"),
    ):
        assert command in run, command


@pytest.mark.cluster
@pytest.mark.timeout(1800)
def test_the_commands_of_the_page_do_what_it_says(own_cluster, tmp_path):
    own_cluster.kubectl("delete", "namespace", "intent-store", "--ignore-not-found")
    environment = _checkout(tmp_path, own_cluster)
    release = "newest"
    own_cluster.install_crds(release, again=True)
    own_cluster.kubectl("delete", "customresourcedefinition", EXPERIMENTS)
    try:
        for each in blocks():
            if each.not_run:
                continue
            if each.release:
                release = each.release
                own_cluster.install_crds(release)
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", each.commands],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE,
            )
            place = f"docs/install.md:{each.line}"
            assert done.returncode == 0, f"{place}\n{done.stdout}{done.stderr}"
            if each.output is not None:
                assert done.stdout.strip() == each.output.strip(), place
    finally:
        own_cluster.kubectl("delete", "namespace", "intent-store", "--ignore-not-found")
        own_cluster.install_crds(release, again=True)


def _checkout(home, cluster):
    """Make what a checkout has, for the test cluster's version; give a shell's environment."""
    shutil.copytree(ROOT / "helm", home / "helm", ignore=shutil.ignore_patterns("intent-store"))
    copy_chart(home / "helm" / "intent-store")
    copy_manifests(home / "k8s")
    programs = home / "programs"
    programs.mkdir()
    for name, path in clients().items():
        (programs / name).symlink_to(path)
    folders = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
    given = {f"HELM_{each}_HOME": str(home / each) for each in ("CACHE", "CONFIG", "DATA")}
    return (
        os.environ
        | given
        | {
            "PATH": os.pathsep.join(folders),
            "KUBECONFIG": str(cluster.kubeconfig),
            "NO_PROXY": "*",
        }
    )
