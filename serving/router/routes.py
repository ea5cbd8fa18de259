"""From experiments and upstreams to what nginx has to know, as plain rows for the template.

An arm is one way to answer a request: a location of nginx's in which everything that depends on
the experiment is a constant. A request's unit is looked up once, and names its arm.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from components.experiments.allocation import Segment, layer_salt, layer_segments, segments
from components.experiments.experiments import Experiments
from components.experiments.exposures import DRAWN, NO_UNIT, OVERRIDE, STOPPED
from components.experiments.manifest import Experiment, Shadow
from serving.router.errors import RouterError
from serving.router.upstreams import Upstreams, servers_of

NONE, REST = "none", "rest"
DEFAULT_HEADER = "x-member-id"
AWAY = "127.0.0.1:1"
"""Where nobody listens: nginx starts only when every address can be resolved."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to answer.

    Attributes:
        path: of its location, below the protocol's prefix.
        service: asked for.
        experiment: the unit is in, "" when in none.
        revision: of the experiment, "" when in none.
        layer: the experiment was drawn in, "" when none.
        variant: that the unit is assigned to.
        upstream: InferenceService behind the variant.
        reason: why it is not simply drawn.
        percent: share of the experiment's units that get the variant; None when in none.
        timeout: seconds until the control is asked instead; None for the control itself.
        shadow: experiment whose shadow gets copies, "" when none.
    """

    path: str
    service: str
    experiment: str
    revision: str
    layer: str
    variant: str
    upstream: str
    reason: str
    percent: float | None
    timeout: float | None
    shadow: str


@dataclass(frozen=True, slots=True)
class Draw:
    """A draw of one experiment's variants: nginx variable, salt, and runs of arms' paths."""

    name: str
    experiment: str
    salt: str
    runs: list[Segment]


@dataclass(frozen=True, slots=True)
class Service:
    """A service's requests, and how their units are spread over arms.

    Attributes:
        name: of the service.
        header: request header that holds the unit, in lower case.
        control: variant that stands in for others.
        upstream: InferenceService behind the control.
        layer_salt: what is hashed before the unit to choose an experiment; "" without layer.
        layer_runs: runs of the experiments' names.
        draws: one per experiment.
        overrides: path of an arm to the units that get it by name.
        arms: all of them.
    """

    name: str
    header: str
    control: str
    upstream: str
    layer_salt: str
    layer_runs: list[Segment]
    draws: list[Draw]
    overrides: dict[str, list[str]]
    arms: list[Arm]


@dataclass(frozen=True, slots=True)
class Copies:
    """Where copies of an experiment's requests go."""

    experiment: str
    service: str
    revision: str
    shadow: Shadow

    @property
    def runs(self) -> list[Segment]:
        """Runs of a draw per request: "1" where it is copied."""
        percent = self.shadow.percent
        rest = [Segment(round(100 - percent, 2), "")] if percent < 100 else []
        return [Segment(percent, "1"), *rest]


@dataclass(frozen=True, slots=True)
class Routes:
    """Everything the template renders.

    Attributes:
        services: those that can be answered.
        copies: shadows that get copies.
        http: InferenceService to the servers that answer for it over REST.
        grpc: InferenceService to those over gRPC, when it has an address for it.
    """

    services: list[Service]
    copies: list[Copies]
    http: dict[str, list[str]]
    grpc: dict[str, list[str]]

    @property
    def headers(self) -> list[str]:
        """Every header that holds a unit, sorted."""
        return sorted({service.header for service in self.services})


def make_routes(
    experiments: Experiments,
    upstreams: Upstreams,
    *,
    away: Collection[str] = (),
    hosts: Mapping[str, Collection[str]],
    grpc: bool,
    may_be_empty: bool = False,
) -> Routes:
    """Say who answers what.

    Args:
        experiments: that hold together.
        upstreams: where InferenceServices answer.
        away: InferenceServices that have no address now, and fail without being asked.
        hosts: addresses of the hosts that upstreams name.
        grpc: whether gRPC is listened for, so that gRPC addresses are needed.
        may_be_empty: whether there may be nothing to route, as before the first training's end.

    Raises:
        RouterError: an InferenceService has no address, or there is no service at all.
    """
    services = [_experimented(name, experiments.of(name)) for name in experiments.services]
    for name, upstream in upstreams.services.items():
        if name not in experiments.services:
            services.append(_plain(name, upstream))
    if not services and not may_be_empty:
        raise RouterError(
            "there is nothing to route: neither an experiment, nor a service in the upstreams file"
        )
    copies = [Copies(e.name, e.service, e.revision, e.shadow) for e in experiments if _copied(e)]
    names = {arm.upstream for service in services for arm in service.arms}
    names |= {service.upstream for service in services}
    names |= {copy.shadow.service for copy in copies}
    http: dict[str, list[str]] = {}
    with_grpc: dict[str, list[str]] = {}
    for name in sorted(names):
        if name in away:
            http[name] = [AWAY]
            with_grpc |= {name: [AWAY]} if grpc else {}
            continue
        address = upstreams.address(name)
        http[name] = servers_of(address.http, hosts)
        if grpc and address.grpc is None:
            raise RouterError(f"{name}: its upstream has no gRPC address")
        if grpc and address.grpc:
            with_grpc[name] = servers_of(address.grpc, hosts)
    return Routes(sorted(services, key=lambda s: s.name), copies, http, with_grpc)


def upstreams_of(experiment: Experiment) -> set[str]:
    """Name every InferenceService that an experiment has a place for."""
    shadow = {experiment.shadow.service} if experiment.shadow and _copied(experiment) else set()
    return {variant.service for variant in experiment.variants} | shadow


def answering(experiment: Experiment) -> set[str]:
    """Name the InferenceServices that are asked: not those of variants that nobody gets."""
    nobody = {
        variant.service
        for variant in experiment.treatments
        if experiment.stopped
        or not (variant.percent or variant.name in experiment.overrides.values())
    }
    control = experiment.by_name[experiment.control].service
    return upstreams_of(experiment) - nobody | {control}


def _plain(service: str, upstream: str) -> Service:
    control = upstream.removeprefix(f"{service}-")
    arms = list(_outside(service, control, upstream))
    return Service(service, DEFAULT_HEADER, control, upstream, "", [], [], {}, arms)


def _experimented(service: str, experiments: list[Experiment]) -> Service:
    first = experiments[0]
    control, upstream = first.control, first.by_name[first.control].service
    arms = list(_outside(service, control, upstream))
    draws, overrides = [], {}
    for number, experiment in enumerate(experiments):
        arms += _arms(experiment)
        for variant in {} if experiment.stopped else experiment.overrides.values():
            path = _path(experiment, variant, OVERRIDE)
            overrides[path] = sorted(u for u, v in experiment.overrides.items() if v == variant)
        runs = [Segment(p, _path(experiment, v)) for p, v in segments(experiment)]
        name = f"{service}_draw_{number}"
        draws.append(Draw(name, experiment.name, f"{experiment.salt}:", runs))
    layered = layer_segments(experiments) if first.layer else []
    salt = layer_salt(first)
    return Service(service, first.header, control, upstream, salt, layered, draws, overrides, arms)


def _outside(service: str, control: str, upstream: str) -> Iterator[Arm]:
    """Arms of requests that are in no experiment."""
    for name, reason in ((NONE, NO_UNIT), (REST, DRAWN)):
        path = f"{service}/{name}"
        yield Arm(path, service, "", "", "", control, upstream, reason, None, None, "")


def _arms(experiment: Experiment) -> Iterator[Arm]:
    drawn = segments(experiment)
    shadow = experiment.name if _copied(experiment) else ""
    for variant in experiment.variants:
        overridden = variant.name in experiment.overrides.values() and not experiment.stopped
        for reason in (DRAWN, OVERRIDE) if overridden else (DRAWN,):
            yield Arm(
                path=_path(experiment, variant.name, reason),
                service=experiment.service,
                experiment=experiment.name,
                revision=experiment.revision,
                layer=experiment.layer.name if experiment.layer else "",
                variant=variant.name,
                upstream=variant.service,
                reason=STOPPED if experiment.stopped else reason,
                percent=round(sum(s.percent for s in drawn if s.variant == variant.name), 2),
                timeout=None if variant.name == experiment.control else experiment.timeout,
                shadow=shadow,
            )


def _path(experiment: Experiment, variant: str, reason: str = DRAWN) -> str:
    suffix = "/override" if reason == OVERRIDE else ""
    return f"{experiment.service}/in/{experiment.name}/{variant}{suffix}"


def _copied(experiment: Experiment) -> bool:
    shadow = experiment.shadow
    return shadow is not None and shadow.percent > 0 and not experiment.stopped
