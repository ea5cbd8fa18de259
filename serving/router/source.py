"""Where manifests come from: a directory of files here, a cluster's resources elsewhere."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from components.experiments.experiments import SUFFIXES
from components.experiments.manifest import Experiment
from components.experiments.places import SCHEME
from serving.router.errors import RouterError

if TYPE_CHECKING:
    from serving.router.report import View

Manifests = dict[str, str | Mapping[str, Any] | Exception]


class Away(RouterError):
    """The place of the manifests has not answered yet; what held before goes on."""


class Source(Protocol):
    """A place with one manifest per experiment.

    Attributes:
        may_be_empty: whether there may be no experiment yet, and nothing else to route.
    """

    may_be_empty: bool

    @property
    def problem(self) -> str | None:
        """Why what `read` gives may be old; None when it is not."""
        ...

    def read(self) -> Manifests:
        """Read every manifest: its place to its text, its document, or why it cannot be read.

        Raises:
            Away: the place has not answered since the start.
            RouterError: the place as a whole cannot be read.
        """
        ...

    def end_variant(self, experiment: Experiment, variant: str) -> None:
        """Set a variant's percentage to 0 in its manifest.

        Raises:
            IntentError: the manifest cannot be changed.
        """
        ...

    def begin_reports(self, view: "Callable[[], View]") -> None:
        """Begin to tell the place what becomes of its manifests, if it has room for that."""
        ...

    def report_soon(self) -> None:
        """Say that there is something new to tell."""
        ...

    def close(self) -> None:
        """Stop watching and telling."""
        ...


def open_source(place: str, *, name: str, report_every: float) -> Source:
    """Open a directory, or a cluster's namespace, which is watched from now on.

    Args:
        place: a path, kubernetes:NAMESPACE, or kubernetes: for the account's own namespace.
        name: of this router among its replicas.
        report_every: seconds between reports to the place.

    Raises:
        ClusterError: there is no cluster to connect to.
    """
    if not place.startswith(SCHEME):
        return Directory(Path(place))
    from components.cluster.client import connect, own_namespace
    from serving.router.cluster import Cluster

    namespace = place.removeprefix(SCHEME) or own_namespace()
    return Cluster(connect, namespace, name=name, report_every=report_every)


class Directory:
    """Manifests as .yaml files of one directory; hidden files are passed over."""

    may_be_empty = False
    problem: str | None = None

    def __init__(self, path: Path):
        self._path = path

    def read(self) -> Manifests:
        """Read every file, as `Source.read` says."""
        try:
            files = sorted(self._path.iterdir())
        except OSError as error:
            raise RouterError(f"{self._path}: cannot be read: {error.strerror}") from error
        found: Manifests = {}
        for file in files:
            if file.suffix in SUFFIXES and not file.name.startswith("."):
                try:
                    found[str(file)] = file.read_text(encoding="utf-8")
                except FileNotFoundError:
                    continue
                except (OSError, UnicodeDecodeError) as error:
                    found[str(file)] = error
        return found

    def end_variant(self, experiment: Experiment, variant: str) -> None:
        """Write 0 into the file, as `Source.end_variant` says."""
        from components.experiments.edit import ramp

        ramp(Path(experiment.source), variant, 0)

    def begin_reports(self, view: "Callable[[], View]") -> None:
        """Do nothing: a file has no status."""

    def report_soon(self) -> None:
        """Do nothing: a file has no status."""

    def close(self) -> None:
        """Do nothing: nothing is watched."""
