"""Each pipeline compiled once, as Kubernetes resources."""

from pathlib import Path

import pytest
import yaml

from pipelines.compiled import Loader, write_pipeline

CHART = Path(__file__).parents[2] / "helm" / "intent-store" / "pipelines"


class Compiled:
    """A compiled pipeline: what runs, and what it needs of a cluster."""

    def __init__(self, path):
        self.path, self.text = path, path.read_text()
        self.pipeline, self.version = yaml.load_all(self.text, Loader=Loader)
        self.spec = self.version["spec"]["pipelineSpec"]
        self.executors = self.spec["deploymentSpec"]["executors"]
        platform = self.version["spec"]["platformSpec"]["platforms"]["kubernetes"]
        self.configs = platform["deploymentSpec"]["executors"]
        self.parameters = self.spec["root"]["inputDefinitions"]["parameters"]

    @property
    def tasks(self):
        """Every task by its displayed name, those in loops included."""
        dags = [self.spec["root"]["dag"]]
        dags += [c["dag"] for c in self.spec["components"].values() if "dag" in c]
        return {t["taskInfo"]["name"]: t for dag in dags for t in dag["tasks"].values()}

    def executor(self, step):
        """What a step's container is, and its Kubernetes configuration."""
        component = self.spec["components"][self.tasks[step]["componentRef"]["name"]]
        label = component["executorLabel"]
        return self.executors[label]["container"], self.configs.get(label, {})


@pytest.fixture(scope="session")
def compile_once(tmp_path_factory):
    """Compile a pipeline by name, once."""
    found = {}

    def of(name):
        if name not in found:
            path = tmp_path_factory.mktemp("compiled") / f"{name}.yaml"
            write_pipeline(name, path, form="kubernetes")
            found[name] = Compiled(path)
        return found[name]

    return of
