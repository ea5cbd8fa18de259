"""One experiment as its manifest says it."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml

from components.experiments.errors import ExperimentsError
from components.experiments.rules import Problem, problems, with_defaults

Action = Literal["stop", "report"]

MOST_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Variant:
    """One answer to the service's requests.

    Attributes:
        name: within the experiment.
        service: InferenceService behind it.
        percent: of the experiment's units, to two decimals; None for the control.
        limit: width of its lane in percent; None when not declared.
    """

    name: str
    service: str
    percent: float | None
    limit: float | None


@dataclass(frozen=True, slots=True)
class Layer:
    """A range of a draw that experiments share, so that no unit is in two of them.

    Attributes:
        name: of the layer, and the salt of its draw.
        start: percent of units below the range.
        size: percent of units in the range.
    """

    name: str
    start: float
    size: float


@dataclass(frozen=True, slots=True)
class Shadow:
    """A service that gets a copy of `percent` of the requests, and whose answers nobody sees."""

    service: str
    percent: float


@dataclass(frozen=True, slots=True)
class Guardrail:
    """What a variant may not do to a metric.

    Attributes:
        metric: see `components.experiments.metrics`.
        at_most: the most the metric may be; None when it is compared with control.
        no_worse_than: how many percent worse than control it may be.
        minimum_exposures: requests answered before the variant is judged.
        action: what a trip does.
    """

    metric: str
    at_most: float | None
    no_worse_than: float | None
    minimum_exposures: int
    action: Action


@dataclass(frozen=True)
class Experiment:
    """A valid manifest.

    Attributes:
        name: of the experiment.
        service: whose requests are split: encoder, suggestions, ranker, audience or candidates.
        header: request header that holds the unit, in lower case.
        salt: of the draw.
        layer: range of a shared draw; None where the experiment has its service to itself.
        control: name of the variant that answers the rest and stands in for a failed one.
        variants: all of them, in the manifest's order.
        overrides: unit to the variant it gets by name. Units are case-sensitive.
        shadow: where copies of requests go, or None.
        timeout: seconds a treatment may take.
        guardrails: what stops a treatment.
        stopped: whether the kill switch is on: everybody gets control.
        revision: hash of the specification, 10 hexadecimal digits: an epoch of the ramp.
        source: file or resource it was read from.
        document: the manifest as read.
    """

    name: str
    service: str
    header: str
    salt: str
    layer: Layer | None
    control: str
    variants: tuple[Variant, ...]
    overrides: Mapping[str, str]
    shadow: Shadow | None
    timeout: float
    guardrails: tuple[Guardrail, ...]
    stopped: bool
    revision: str
    source: str
    document: Mapping[str, Any]

    @cached_property
    def by_name(self) -> dict[str, Variant]:
        """The variants by their names."""
        return {variant.name: variant for variant in self.variants}

    @property
    def treatments(self) -> tuple[Variant, ...]:
        """Every variant but the control, in the manifest's order."""
        return tuple(v for v in self.variants if v.name != self.control)


def parse_text(text: str, *, source: str) -> Experiment:
    """Read a manifest from YAML.

    Args:
        text: one YAML document.
        source: file it is from, for messages.

    Raises:
        ExperimentsError: it cannot be used; the message names the file and every wrong field.
    """
    if len(text) > MOST_BYTES:
        raise ExperimentsError(f"{source}: longer than {MOST_BYTES // 1024} KiB")
    try:
        documents = [d for d in yaml.load_all(text, _Loader) if d is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ExperimentsError(f"{source}: cannot be read as YAML: {reason}") from error
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise ExperimentsError(f"{source}: must hold one experiment, a mapping, and nothing else")
    return parse(documents[0], source=source)


def parse(document: Mapping[str, Any], *, source: str) -> Experiment:
    """Make an experiment of a manifest that was read, such as a Kubernetes resource.

    Args:
        document: the manifest; of its metadata only the name counts.
        source: file or resource it is from, for messages.

    Raises:
        ExperimentsError: it is not valid; the message names the source and every wrong field.
    """
    _refuse(problems(document), source)
    full = with_defaults(document)
    spec = full["spec"]
    layer, shadow = spec.get("layer"), spec.get("shadow")
    return Experiment(
        name=full["metadata"]["name"],
        service=spec["service"],
        header=spec["unit"]["header"],
        salt=spec["salt"],
        layer=Layer(**layer) if layer else None,
        control=spec["control"],
        variants=tuple(
            Variant(v["name"], v["inferenceService"], v.get("percent"), v.get("limit"))
            for v in spec["variants"]
        ),
        overrides={unit: o["variant"] for o in spec.get("overrides", ()) for unit in o["units"]},
        shadow=Shadow(shadow["inferenceService"], shadow["percent"]) if shadow else None,
        timeout=spec["timeout"],
        guardrails=tuple(
            Guardrail(
                metric=rail["metric"],
                at_most=rail.get("atMost"),
                no_worse_than=rail.get("noWorseThan"),
                minimum_exposures=rail["minimumExposures"],
                action=rail["action"],
            )
            for rail in spec.get("guardrails", ())
        ),
        stopped=spec["stopped"],
        revision=_digest(spec),
        source=source,
        document=document,
    )


def check_change(new: Experiment, old: Experiment) -> None:
    """Hold what replaces an experiment to the rules for changes.

    Raises:
        ExperimentsError: units would move between treatments though the salt is the same.
    """
    if new.revision != old.revision:
        _refuse(problems(new.document, old.document), new.source)


def read_manifest(path: Path) -> Experiment:
    """Read one file.

    Raises:
        ExperimentsError: it cannot be read or is not valid.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentsError(f"{path}: cannot be read: {error}") from error
    return parse_text(text, source=str(path))


def _refuse(found: Sequence[Problem], source: str) -> None:
    if found:
        raise ExperimentsError(f"{source}: " + "; ".join(map(str, found)))


def _digest(spec: Mapping[str, Any]) -> str:
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


class _Loader(yaml.SafeLoader):
    """Plain YAML without what a manifest has no use for: repeated keys, aliases, nan and dates."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"aliases are not allowed{self.peek_event().start_mark}")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"a key must be a text{key.start_mark}")
            if key.value in seen:
                raise yaml.YAMLError(f"{key.value} is there twice{key.start_mark}")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _finite(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    value = loader.construct_yaml_float(node)
    if not math.isfinite(value):
        raise yaml.YAMLError(f"{node.value} is not a number to use{node.start_mark}")
    return value


_Loader.add_constructor("tag:yaml.org,2002:float", _finite)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: node.value)
