"""Pods as the driver of Kubeflow Pipelines makes them of a compiled pipeline's steps.

Only what a scheduler looks at is taken over: node selector, tolerations, resources and volumes,
with parameters and outputs of the first step put in, as the driver does at run time.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

PIPELINES = Path(__file__).resolve().parents[2] / "helm/intent-store/pipelines"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INPUT = re.compile(r"{{\$\.inputs\.parameters\['(?:pipelinechannel--)?([^']+)'\]}}")
_LIMIT, _REQUEST = (
    ("resourceCpuLimit", "resourceMemoryLimit"),
    ("resourceCpuRequest", "resourceMemoryRequest"),
)


class Step(NamedTuple):
    """A step of a compiled pipeline."""

    name: str
    container: Mapping[str, Any]
    platform: Mapping[str, Any]

    @property
    def is_accelerated(self) -> bool:
        """Whether it runs where the chosen accelerator is."""
        return "accelerator" in self.container.get("resources", {})

    def pod(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """Make its pod.

        Args:
            known: the pipeline's parameters, and the outputs of its first step by their names.
        """
        selector = self.platform.get("nodeSelector", {}).get("nodeSelectorJson")
        tolerations = [
            _value(each["tolerationJson"], known) for each in self.platform.get("tolerations", [])
        ]
        claims = [
            _value(each["pvcNameParameter"], known) for each in self.platform.get("pvcMount", [])
        ]
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"generateName": f"{self.name}-"},
            "spec": {
                "restartPolicy": "Never",
                "nodeSelector": _value(selector, known) if selector else {},
                "tolerations": [
                    one
                    for each in tolerations
                    for one in (each if isinstance(each, list) else [each])
                ],
                "containers": [
                    {
                        "name": "main",
                        "image": _fill(self.container["image"], known),
                        "resources": _resources(self.container.get("resources", {}), known),
                    }
                ],
                "volumes": [
                    {"name": f"claim-{number}", "persistentVolumeClaim": {"claimName": claim}}
                    for number, claim in enumerate(claims)
                ],
            },
        }


class Compiled(NamedTuple):
    """A compiled pipeline."""

    steps: list[Step]
    parameters: dict[str, Any]


def load(path: Path) -> Compiled:
    """Read a compiled pipeline: its steps, and the defaults of its parameters."""
    documents = yaml.load_all(path.read_text(), Loader=_LOADER)
    [spec] = [each["spec"] for each in documents if each["kind"] == "PipelineVersion"]
    inputs = spec["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
    return Compiled(
        steps=list(_steps(spec)),
        parameters={name: each.get("defaultValue") for name, each in inputs.items()},
    )


def _steps(spec: Mapping[str, Any]) -> Iterator[Step]:
    platforms = spec["platformSpec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name, executor in spec["pipelineSpec"]["deploymentSpec"]["executors"].items():
        if "container" in executor:
            step = name.removeprefix("exec-")
            yield Step(step, executor["container"], platforms.get(name, {}))


def _resources(resources: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    def of(fields: tuple[str, str]) -> dict[str, str]:
        names = zip(("cpu", "memory"), fields, strict=True)
        return {name: _fill(resources[field], known) for name, field in names if field in resources}

    limits = of(_LIMIT)
    if accelerator := resources.get("accelerator"):
        kind = _fill(accelerator["resourceType"], known)
        limits[kind] = _fill(accelerator["resourceCount"], known)
    return {"limits": limits, "requests": of(_REQUEST)}


def _fill(text: str, known: Mapping[str, Any]) -> str:
    return _INPUT.sub(lambda found: str(_of(found[1], known)), text)


def _value(source: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    """Find what a platform's field refers to: an output, an input or a constant."""
    if "taskOutputParameter" in source:
        return known[source["taskOutputParameter"]["outputParameterKey"]]
    if "componentInputParameter" in source:
        return _of(source["componentInputParameter"].removeprefix("pipelinechannel--"), known)
    return source["runtimeValue"]["constant"]


def _of(name: str, known: Mapping[str, Any]) -> Any:
    """Find a parameter, or an output of the first step, which the compiler puts before its name."""
    matches = [key for key in known if name == key or re.fullmatch(rf"resolve-\w+-{key}", name)]
    [key] = matches
    return known[key]
