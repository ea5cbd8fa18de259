"""The chart as Python sees it: where it lies, its profiles, and what it renders to."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import yaml

CHART = Path(__file__).parent / "intent-store"
PROFILES = CHART / "profiles"
RELEASE = NAMESPACE = "intent-store"
APIS = (
    "policy/v1/PodDisruptionBudget",
    "autoscaling/v2/HorizontalPodAutoscaler",
)
"""What the chart asks a cluster about, answered as a current one does."""

_SOURCE = "# Source: intent-store/templates/"


class Rendered(NamedTuple):
    """An object, and the template that it comes from.

    Attributes:
        source: path of the template below templates/, without its suffix.
        object: as Kubernetes reads it.
    """

    source: str
    object: dict[str, Any]

    @property
    def key(self) -> tuple[str, str, str]:
        """Kind, namespace ("" for none) and name."""
        return key_of(self.object)


def key_of(manifest: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return an object's kind, namespace ("" for none) and name."""
    about = manifest["metadata"]
    return manifest["kind"], about.get("namespace", ""), about["name"]


def profiles() -> list[str]:
    """Name the profiles there are."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def render(
    values: Mapping[str, Any] | None = None, *, profile: str = "", apis: tuple[str, ...] = APIS
) -> list[Rendered]:
    """Render the chart as `helm install` would on a new cluster.

    Args:
        values: that differ from the chart's own, and from the profile's.
        profile: whose values are taken; "" for none.
        apis: that the cluster is said to serve.

    Returns:
        Objects in helm's order, hooks included.

    Raises:
        FileNotFoundError: there is no helm.
        ValueError: the chart refuses the values; holds what it said.
    """
    given = ["--values", str(PROFILES / f"{profile}.yaml")] if profile else []
    known = [word for api in apis for word in ("--api-versions", api)]
    with TemporaryDirectory() as folder:
        if values:
            own = Path(folder) / "values.yaml"
            own.write_text(yaml.safe_dump(dict(values)))
            given += ["--values", str(own)]
        command = [program("helm"), "template", RELEASE, str(CHART), "--namespace", NAMESPACE]
        done = subprocess.run(
            [*command, *given, *known], capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        raise ValueError(done.stderr.strip())
    return [
        Rendered(_source_of(document), manifest)
        for document in done.stdout.split("\n---\n")
        if (manifest := yaml.load(document, Loader=_LOADER))
    ]


def program(name: str) -> str:
    """Return where helm or kubectl lies: its variable (HELM, KUBECTL), `make cluster`'s, or PATH.

    Raises:
        FileNotFoundError: it is nowhere.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "intent-store"
    fetched = [str(path) for path in sorted(cache.glob(f"*/{name}"))]
    found = os.environ.get(name.upper()) or (fetched and fetched[-1]) or shutil.which(name)
    if not found:
        raise FileNotFoundError(f"{name}: not on this machine; `make cluster` fetches it")
    return found


def _source_of(document: str) -> str:
    line = next(line for line in document.splitlines() if line.startswith(_SOURCE))
    return line.removeprefix(_SOURCE).removesuffix(".yaml")


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
