"""Pipelines as Kubeflow takes them: a package to upload, or resources to apply."""

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import yaml

from components.errors import IntentError
from components.files import whole_file
from components.image import TRAIN_IMAGE

Format = Literal["package", "kubernetes"]
FORMATS: tuple[Format, ...] = ("package", "kubernetes")

PIPELINES = ("training", "daily", "experiment")
"""Each is `pipelines.<name>.<name>`."""

API_VERSION = "pipelines.kubeflow.org/v2beta1"
# libyaml's where it was built in: ten times as fast.
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
VERSION_DIGITS = 10


class CompileError(IntentError):
    """A pipeline that cannot be written as asked; names what is wrong."""


def load_pipeline(name: str) -> Any:
    """Import a pipeline.

    Raises:
        CompileError: there is no such pipeline.
    """
    if name not in PIPELINES:
        raise CompileError(f"no pipeline {name!r}: {', '.join(PIPELINES)}")
    return getattr(import_module(f"pipelines.{name}"), name)


def write_pipeline(
    name: str,
    target: Path,
    *,
    form: Format = "package",
    image: str = TRAIN_IMAGE,
    queue: str | None = None,
    namespace: str | None = None,
) -> str:
    """Compile a pipeline to a YAML file.

    Args:
        name: one of PIPELINES.
        target: file to write.
        form: `package`, as the UI and the API take it, or `kubernetes`, Pipeline and
            PipelineVersion resources.
        image: in which steps run that need no accelerator.
        queue: Kueue queue of every step's pod, if any.
        namespace: of the resources; the one they are applied to when None.

    Returns:
        The version's name, which tells its content from any other.

    Raises:
        CompileError: there is no such pipeline, or the file's name is not one of a YAML file.
    """
    if target.suffix not in (".yaml", ".yml"):
        raise CompileError(f"{target}: the compiled pipeline is YAML, name it so")
    text = _compile(name)
    comments = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    spec, platform = yaml.load_all(text, Loader=Loader)
    _adapt(spec, platform, image=image, queue=queue)
    documents = [spec, platform]
    version = version_of(spec, platform)
    if form == "kubernetes":
        documents = list(_resources(spec, platform, version, namespace))
        comments = ""
    with whole_file(target) as aside, aside.open("w") as out:
        out.write(comments)
        yaml.dump_all(documents, out, Dumper=Dumper, sort_keys=True, width=100)
    return version


def version_of(spec: dict[str, Any], platform: dict[str, Any]) -> str:
    """Name a compiled pipeline after itself and its content."""
    text = json.dumps([spec, platform], sort_keys=True)
    content = hashlib.blake2b(text.encode()).hexdigest()[:VERSION_DIGITS]
    return f"{spec['pipelineInfo']['name']}-{content}"


@cache
def _compile(name: str) -> str:
    from kfp.compiler import Compiler

    with TemporaryDirectory() as aside:
        path = Path(aside, "pipeline.yaml")
        Compiler().compile(load_pipeline(name), str(path))
        return path.read_text()


def _adapt(
    spec: dict[str, Any], platform: dict[str, Any], *, image: str, queue: str | None
) -> None:
    for executor in spec["deploymentSpec"]["executors"].values():
        container = executor.get("container", {})
        if container.get("image") == TRAIN_IMAGE:
            container["image"] = image
    if queue:
        for config in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
            config.setdefault("podMetadata", {}).setdefault("labels", {})[QUEUE_LABEL] = queue


def _resources(
    spec: dict[str, Any], platform: dict[str, Any], version: str, namespace: str | None
) -> Iterator[dict[str, Any]]:
    """Give what kfp's compiler would write for Kubernetes, of an adapted specification."""
    name = spec["pipelineInfo"]["name"]
    description = spec["pipelineInfo"].get("description", "")
    where = {"namespace": namespace} if namespace else {}
    yield {
        "apiVersion": API_VERSION,
        "kind": "Pipeline",
        "metadata": {"name": name, **where},
        "spec": {"displayName": name, "description": description},
    }
    yield {
        "apiVersion": API_VERSION,
        "kind": "PipelineVersion",
        "metadata": {"name": version, **where},
        "spec": {
            "displayName": version,
            "description": description,
            "pipelineName": name,
            "pipelineSpec": spec,
            "platformSpec": platform,
        },
    }
