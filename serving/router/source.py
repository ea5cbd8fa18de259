"""Where manifests come from: a directory of files here, a cluster's resources elsewhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from components.experiments.experiments import SUFFIXES
from components.experiments.manifest import Experiment
from serving.router.errors import RouterError

Manifests = dict[str, str | Mapping[str, Any] | Exception]


class Source(Protocol):
    """A place with one manifest per experiment."""

    def read(self) -> Manifests:
        """Read every manifest: its place to its text, its document, or why it cannot be read.

        Raises:
            RouterError: the place as a whole cannot be read.
        """
        ...

    def end_variant(self, experiment: Experiment, variant: str) -> None:
        """Set a variant's percentage to 0 in its manifest.

        Raises:
            IntentError: the manifest cannot be changed.
        """
        ...


class Directory:
    """Manifests as .yaml files of one directory; hidden files are passed over."""

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
