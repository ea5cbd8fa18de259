"""All experiments together: those that hold, and those refused with the reason."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from components.experiments.allocation import (
    UNIT,
    allocate,
    hundredths,
    layer_salt,
    layer_segments,
    owners,
)
from components.experiments.errors import ExperimentsError
from components.experiments.manifest import (
    Experiment,
    Layer,
    check_change,
    parse,
    parse_text,
)

SUFFIXES = (".yaml", ".yml")


class Rejected(NamedTuple):
    """A manifest that was refused.

    Attributes:
        source: file or resource.
        reason: what to mend.
        kept: name of the experiment whose last good version goes on instead, or None.
    """

    source: str
    reason: str
    kept: str | None


class Assigned(NamedTuple):
    """What a unit gets of a service.

    Attributes:
        experiment: that the unit is in; None when it is in none.
        variant: name of the variant that answers, the service's control outside experiments.
        reason: "" when drawn, or "override", "stopped", "no unit".
    """

    experiment: str | None
    variant: str
    reason: str


@dataclass(frozen=True)
class Experiments:
    """Experiments that hold together.

    Attributes:
        by_name: each by its name.
        rejected: manifests that were refused.
    """

    by_name: Mapping[str, Experiment] = field(default_factory=dict)
    rejected: tuple[Rejected, ...] = ()

    def __iter__(self):
        return iter(self.by_name.values())

    def __len__(self) -> int:
        return len(self.by_name)

    @property
    def services(self) -> list[str]:
        """Services that have an experiment, sorted."""
        return sorted({e.service for e in self})

    def of(self, service: str) -> list[Experiment]:
        """List a service's experiments in the order of their ranges in its layer."""
        return sorted(
            (e for e in self if e.service == service),
            key=lambda e: (e.layer.start if e.layer else 0.0, e.name),
        )

    def assign(self, service: str, units: Sequence[str]) -> list[Assigned]:
        """Tell what each unit gets of a service, as the router does.

        Raises:
            ExperimentsError: the service has no experiment.
        """
        own = self.of(service)
        if not own:
            raise ExperimentsError(f"{service}: no experiment says which variants answer for it")
        inside: list[str]
        if own[0].layer is None:
            inside = [own[0].name] * len(units)
        else:
            inside = owners(layer_segments(own), layer_salt(own[0]), units)
        drawn = {e.name: allocate(e, units) for e in own}
        named = {unit: e for e in own for unit in e.overrides if not e.stopped}
        found = []
        for place, unit in enumerate(units):
            name = inside[place]
            if not UNIT.fullmatch(unit):
                found.append(Assigned(None, own[0].control, "no unit"))
            elif unit in named:
                by = named[unit]
                found.append(Assigned(by.name, by.overrides[unit], "override"))
            elif not name:
                found.append(Assigned(None, own[0].control, ""))
            else:
                stopped = "stopped" if self.by_name[name].stopped else ""
                found.append(Assigned(name, drawn[name][place] or own[0].control, stopped))
        return found


def load_experiments(directory: Path, last_good: Experiments | None = None) -> Experiments:
    """Read every manifest of a directory.

    Args:
        directory: of .yaml files, one experiment each; hidden files are passed over.
        last_good: what held so far. A manifest that is refused leaves its last good version in
            place; one whose file is gone ends.

    Raises:
        ExperimentsError: there is no such directory.
    """
    if not directory.is_dir():
        raise ExperimentsError(f"{directory}: no such directory of experiments")
    files = [
        path
        for path in sorted(directory.iterdir())
        if path.suffix in SUFFIXES and not path.name.startswith(".")
    ]
    return load_files(files, last_good)


def load_files(files: Iterable[Path], last_good: Experiments | None = None) -> Experiments:
    """Read manifests from files, as `load_experiments` does."""
    manifests: dict[str, str | Exception] = {}
    for path in files:
        try:
            manifests[str(path)] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            manifests[str(path)] = error
    return admit(manifests, last_good)


def admit(
    manifests: Mapping[str, str | Mapping[str, Any] | Exception],
    last_good: Experiments | None = None,
) -> Experiments:
    """Take in manifests that hold by themselves and together.

    Args:
        manifests: source (a file, a resource's name) to its text, its document, or the error that
            reading it gave.
        last_good: what held so far. A manifest that is refused leaves its last good version in
            place; one that is no longer there ends.
    """
    before = last_good or Experiments()
    new: list[Experiment] = []
    refused: dict[str, str] = {}
    for source, manifest in manifests.items():
        try:
            experiment = _read(source, manifest)
            if experiment.name in before.by_name:
                check_change(experiment, before.by_name[experiment.name])
            new.append(experiment)
        except ExperimentsError as error:
            refused[source] = str(error)
    # A change of several at once, such as two that swap their ranges, holds as a whole or is
    # tried piece by piece on what stands.
    standing = {e.name: e for e in before if e.source in manifests}
    whole = {name: e for name, e in standing.items() if e.source in refused}
    if _add_all(whole, new) is None:
        standing = whole
    else:
        running = {e.source for e in standing.values()}
        for experiment in sorted(new, key=lambda e: e.source not in running):
            changed = {n: e for n, e in standing.items() if e.source != experiment.source}
            reason = _add_all(changed, [experiment])
            if reason is None:
                standing = changed
            else:
                refused[experiment.source] = f"{experiment.source}: {reason}"
    kept = {e.source: e.name for e in standing.values()}
    return Experiments(
        by_name=dict(sorted(standing.items())),
        rejected=tuple(Rejected(source, why, kept.get(source)) for source, why in refused.items()),
    )


def clash(new: Experiment, other: Experiment) -> str | None:
    """Tell why two experiments cannot run side by side, or None when they can."""
    if new.name == other.name:
        return f"metadata.name: {new.name} is already the name of {other.source}"
    if new.salt == other.salt:
        return f"spec.salt: {new.salt} is {other.name}'s: both would draw the same units"
    if new.layer is not None and other.layer is not None and new.layer.name == other.layer.name:
        if new.header != other.header:
            return f"spec.unit.header: {other.name} of the same layer is split by {other.header}"
        if _overlap(new.layer, other.layer):
            return (
                f"spec.layer: {_span(new.layer)} of {new.layer.name} overlaps with "
                f"{_span(other.layer)} of {other.name}"
            )
    elif new.service == other.service:
        return (
            f"spec.layer: {other.name} is an experiment of {new.service} too: give both a range "
            "of one layer"
        )
    if new.service != other.service:
        return None
    ours, theirs = (e.by_name[e.control] for e in (new, other))
    if (ours.name, ours.service) != (theirs.name, theirs.service):
        return (
            f"spec.control: {ours.name} ({ours.service}) is not {other.name}'s control, "
            f"{theirs.name} ({theirs.service}): a service has one control"
        )
    shared = sorted(new.overrides.keys() & other.overrides.keys())
    if shared:
        return f"spec.overrides: {shared[0]} is overridden by {other.name} too"
    return None


def _read(source: str, manifest: str | Mapping[str, Any] | Exception) -> Experiment:
    if isinstance(manifest, Exception):
        raise ExperimentsError(f"{source}: cannot be read: {manifest}")
    if isinstance(manifest, str):
        return parse_text(manifest, source=source)
    return parse(manifest, source=source)


def _add_all(standing: dict[str, Experiment], new: Sequence[Experiment]) -> str | None:
    """Add experiments in place; the first clash ends it and is returned."""
    for experiment in new:
        for other in standing.values():
            reason = clash(experiment, other)
            if reason:
                return reason
        standing[experiment.name] = experiment
    return None


def _overlap(a: Layer, b: Layer) -> bool:
    (first, past), (other_first, other_past) = (
        (hundredths(x.start), hundredths(x.start) + hundredths(x.size)) for x in (a, b)
    )
    return first < other_past and other_first < past


def _span(layer: Layer) -> str:
    return f"{layer.start:g} to {layer.start + layer.size:g} %"
