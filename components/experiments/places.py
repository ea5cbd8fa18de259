"""Where experiments are kept: manifests in a folder, or resources on a cluster."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import yaml

from components.experiments import edit
from components.experiments.errors import Taken
from components.experiments.experiments import Experiments, load_experiments
from components.experiments.manifest import Experiment, parse_text, read_manifest
from components.experiments.result import Analysis
from components.files import whole_file

SCHEME = "kubernetes:"
"""What an address of experiments on a cluster begins with; the namespace follows."""


class Place(Protocol):
    """Experiments by name.

    Every change is held to the rules first. Two who change an experiment at the same time do not
    lose each other's change. What cannot be done is an `IntentError` that names the manifest.
    """

    def load(self) -> Experiments:
        """Read all of them."""
        ...

    def read(self, name: str) -> Experiment:
        """Read one."""
        ...

    def where(self, name: str) -> str:
        """Tell people where an experiment lies."""
        ...

    def told(self, name: str) -> list[str]:
        """Repeat what routers say of an experiment, line by line."""
        ...

    def ramp(self, name: str, variant: str, percent: float) -> Experiment:
        """Set the percentage of a treatment."""
        ...

    def set_stopped(self, name: str, stopped: bool = True) -> Experiment:
        """Throw the kill switch, or take it back."""
        ...

    def add_variant(
        self, name: str, variant: str, inference_service: str, *, dry_run: bool = False
    ) -> Experiment:
        """Add a treatment at 0 %, after those there are."""
        ...

    def begin(self, manifest: Mapping[str, Any], *, dry_run: bool = False) -> None:
        """Add an experiment; raises `Taken` where there is one of that name."""
        ...

    def note_analysis(self, analysis: Analysis) -> bool:
        """Keep an analysis in short with its experiment; False where that has no status."""
        ...


def open_place(
    place: str | Path, *, manager: str = "intent", credentials: Path | None = None
) -> Place:
    """Open a folder of manifests, or the experiments of a cluster's namespace.

    Args:
        place: a path, `kubernetes:NAMESPACE`, or `kubernetes:` for the account's own namespace.
        manager: who makes the changes, as the cluster records it.
        credentials: directory of the service account to use on a cluster, when it is there; see
            `components.cluster.client.connect`.

    Raises:
        ClusterError: there is no cluster to connect to.
    """
    if not str(place).startswith(SCHEME):
        return Folder(Path(place))
    from components.cluster.client import connect, own_namespace
    from components.experiments.cluster import Cluster

    namespace = str(place).removeprefix(SCHEME) or own_namespace(credentials)
    return Cluster(connect(credentials), namespace, manager=manager)


class Folder:
    """Manifests as .yaml files of one directory; a change leaves the rest of a file's text."""

    def __init__(self, path: Path, *, may_be_missing: bool = False):
        """Open it.

        Args:
            path: of the directory.
            may_be_missing: whether one that is not there is one without experiments.
        """
        self._path = path
        self._may_be_missing = may_be_missing

    def load(self) -> Experiments:
        """Read every file."""
        if self._may_be_missing and not self._path.exists():
            return Experiments()
        return load_experiments(self._path)

    def read(self, name: str) -> Experiment:
        """Read one, found by its name."""
        return read_manifest(self._find(name))

    def where(self, name: str) -> str:
        """Name the file."""
        found = self.load().by_name.get(name)
        return found.source if found else str(self._path / f"{name}.yaml")

    def told(self, name: str) -> list[str]:
        """Give nothing: a file has no status."""
        return []

    def ramp(self, name: str, variant: str, percent: float) -> Experiment:
        """Edit the file."""
        return edit.ramp(self._find(name), variant, percent)

    def set_stopped(self, name: str, stopped: bool = True) -> Experiment:
        """Edit the file."""
        return edit.set_stopped(self._find(name), stopped)

    def add_variant(
        self, name: str, variant: str, inference_service: str, *, dry_run: bool = False
    ) -> Experiment:
        """Edit the file."""
        path = self._find(name)
        return edit.add_variant(path, variant, inference_service, dry_run=dry_run)

    def begin(self, manifest: Mapping[str, Any], *, dry_run: bool = False) -> None:
        """Write a file."""
        path = self._path / f"{manifest['metadata']['name']}.yaml"
        if path.exists():
            raise Taken(f"{path}: is there already")
        text = yaml.safe_dump(dict(manifest), sort_keys=False)
        parse_text(text, source=str(path))
        if dry_run:
            return
        with whole_file(path) as aside:
            aside.write_text(text)

    def note_analysis(self, analysis: Analysis) -> bool:
        """Do nothing: a file has no status."""
        return False

    def _find(self, name: str) -> Path:
        return edit.find_manifest(self._path, name)
