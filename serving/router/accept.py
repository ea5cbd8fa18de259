"""What of the manifests and upstreams may be used; the last good of what may not."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components.experiments.experiments import Experiments, admit
from components.experiments.manifest import Experiment
from components.files import whole_file
from serving.router.errors import RouterError
from serving.router.names import Names
from serving.router.routes import answering, upstreams_of
from serving.router.source import Manifests
from serving.router.upstreams import Upstreams, host_of, load_upstreams

RESERVED = frozenset(
    [
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-request-id",
        "traceparent",
        "grpc-timeout",
    ]
)
"""Headers that are set or read on the way and so cannot hold a unit."""


@dataclass(frozen=True)
class Accepted:
    """What requests are routed by.

    Attributes:
        experiments: that hold, with the manifests that were refused.
        upstreams: where InferenceServices answer; None before any could be read.
        away: InferenceService that is needed but has no address now, to the reason. Its
            treatments are answered by the control.
        error: why the upstreams file was refused, None when it was not.
        hosts: addresses of the hosts that are asked.
    """

    experiments: Experiments = field(default_factory=Experiments)
    upstreams: Upstreams | None = None
    away: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def accept(manifests: Manifests, path: Path, before: Accepted, names: Names) -> Accepted:
    """Take what can be used, and keep the last good of what cannot.

    Args:
        manifests: as their source gives them.
        path: of the upstreams file.
        before: what was accepted last.
        names: that knows the hosts' addresses.

    Raises:
        RouterError: there are no upstreams, not even from before.
    """
    upstreams, error = _read_upstreams(path, before)
    good = before.experiments
    asked: Manifests = dict(manifests)
    lacking: dict[str, str] = {}
    while True:
        experiments = admit(asked, good)
        changed = [e for e in experiments if good.by_name.get(e.name) != e]
        new = {
            e.source: why
            for e in changed
            if (why := _why_not(e, good.by_name.get(e.name), upstreams, names))
        }
        if not new:
            break
        lacking |= new
        asked |= {source: RouterError(why) for source, why in new.items()}
    rejected = tuple(
        r._replace(reason=f"{r.source}: {lacking[r.source]}") if r.source in lacking else r
        for r in experiments.rejected
    )
    needed = _needed(experiments, upstreams)
    away = _why_away(needed, upstreams, names)
    return Accepted(Experiments(experiments.by_name, rejected), upstreams, away, error, names.known)


def save(accepted: Accepted, path: Path) -> None:
    """Keep what was accepted for the next start."""
    upstreams = accepted.upstreams
    content = {
        "experiments": {e.source: dict(e.document) for e in accepted.experiments},
        "upstreams": upstreams.model_dump(mode="json") if upstreams else None,
        "hosts": accepted.hosts,
    }
    with whole_file(path) as aside:
        aside.write_text(json.dumps(content, indent=2) + "\n")


def load(path: Path) -> Accepted:
    """Read what an earlier router accepted last; nothing when there was none."""
    if not path.exists():
        return Accepted()
    content = json.loads(path.read_text())
    upstreams = content["upstreams"]
    return Accepted(
        Experiments(admit(content["experiments"]).by_name),
        Upstreams.model_validate(upstreams) if upstreams else None,
        hosts={host: tuple(found) for host, found in content.get("hosts", {}).items()},
    )


def _read_upstreams(path: Path, before: Accepted) -> tuple[Upstreams, str | None]:
    try:
        found = load_upstreams(path)
        for experiment in before.experiments:
            for name in sorted(answering(experiment)):
                try:
                    found.address(name)
                except RouterError as error:
                    raise RouterError(f"{path}: {error}; {experiment.name} needs it") from error
    except RouterError as error:
        if before.upstreams is None:
            raise
        return before.upstreams, str(error)
    return found, None


def _why_not(
    experiment: Experiment, before: Experiment | None, upstreams: Upstreams, names: Names
) -> str | None:
    """Tell why an experiment cannot be taken up.

    What nobody is sent to may be away, as a variant is that was registered just now. So may what
    was asked before: else its percentage could not be taken back once it has gone.
    """
    if experiment.header in RESERVED:
        return f"spec.unit.header: {experiment.header} is HTTP's or the router's own"
    asked = answering(experiment) - (answering(before) if before else set())
    return next(iter(_why_away(asked, upstreams, names).values()), None)


def _needed(experiments: Experiments, upstreams: Upstreams) -> set[str]:
    return set(upstreams.services.values()).union(*(upstreams_of(e) for e in experiments))


def _why_away(services: Iterable[str], upstreams: Upstreams, names: Names) -> dict[str, str]:
    found = {}
    for name in sorted(services):
        try:
            address = upstreams.address(name)
        except RouterError as error:
            found[name] = str(error)
            continue
        hosts = [host_of(where) for where in (address.http, address.grpc) if where]
        why = next((why for host in hosts if (why := names.look_up(host).reason)), None)
        if why:
            found[name] = f"{name}: {why}"
    return found
