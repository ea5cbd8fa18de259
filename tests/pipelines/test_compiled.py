"""Compiled pipelines: what the chart installs, what the UI shows, what a cluster is asked for."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import jsonschema
import pytest
import yaml
from kfp.compiler import Compiler
from kfp.compiler.compiler_utils import KubernetesManifestOptions

from components.image import TRAIN_IMAGE
from pipelines.command import main
from pipelines.compiled import PIPELINES, Loader, load_pipeline, write_pipeline
from tests.pipelines.conftest import CHART

CHECK = Path(__file__).parents[3] / "shared" / "tools" / "check_manifests.py"
VERSIONS = "pipelineversions"
SECRET_WORDS = ("password", "token", "secret")


@pytest.fixture(scope="module", params=PIPELINES)
def compiled(request, compile_once):
    return compile_once(request.param)


def name_of(compiled):
    return compiled.path.stem


def test_the_chart_holds_the_pipeline_as_it_is(compiled):
    stored = CHART / f"{name_of(compiled)}.yaml"
    assert stored.read_text() == compiled.text, (
        "the compiled pipeline changed; if that is meant: intent compile "
        f"--pipeline {name_of(compiled)} --format kubernetes --output {stored}"
    )


def test_the_resources_are_those_that_kfps_own_compiler_writes(compiled, tmp_path):
    path = tmp_path / "own.yaml"
    name, version = (one["metadata"]["name"] for one in (compiled.pipeline, compiled.version))
    Compiler().compile(
        load_pipeline(name_of(compiled)),
        str(path),
        kubernetes_manifest_format=True,
        kubernetes_manifest_options=KubernetesManifestOptions(
            pipeline_name=name, pipeline_version_name=version, include_pipeline_manifest=True
        ),
    )
    pipeline, own = yaml.load_all(path.read_text(), Loader=Loader)
    # kfp takes the description for the pipeline from where the function has it, unfolded.
    for ours, theirs in ((compiled.pipeline, pipeline), (compiled.version, own)):
        for one in (ours, theirs):
            one["spec"] = {k: v for k, v in one["spec"].items() if "isplay" not in k}
            one["spec"].pop("description", None)
        assert ours == theirs


def test_the_resources_are_valid_for_their_definitions(compiled):
    if not CHECK.exists():
        pytest.skip(f"needs {CHECK}")
    module = module_from_spec(spec_from_file_location("check_manifests", CHECK))
    module.__spec__.loader.exec_module(module)
    for resource, plural in ((compiled.pipeline, "pipelines"), (compiled.version, VERSIONS)):
        path = CHECK.parents[1] / "crds" / f"pipelines.kubeflow.org_{plural}.yaml"
        (served,) = yaml.safe_load(path.read_text())["spec"]["versions"]
        schema = module.strict(served["schema"]["openAPIV3Schema"])
        assert list(jsonschema.Draft202012Validator(schema).iter_errors(resource)) == []


def test_a_versions_name_tells_its_content(compiled, tmp_path):
    again = write_pipeline(name_of(compiled), tmp_path / "again.yaml")
    other = write_pipeline(name_of(compiled), tmp_path / "other.yaml", image="elsewhere/train:2")
    assert again == compiled.version["metadata"]["name"] != other
    assert other.startswith(compiled.pipeline["metadata"]["name"])


def test_image_queue_and_namespace_are_put_where_they_belong(compiled, tmp_path, capsys):
    path = tmp_path / "deep" / "pipeline.yaml"
    command = ["compile", "--pipeline", name_of(compiled), "--format", "kubernetes"]
    options = ["--image", "elsewhere/train:2", "--queue", "gpus", "--namespace", "team"]
    assert main([*command, *options, "--output", str(path)]) == 0
    pipeline, version = yaml.load_all(path.read_text(), Loader=Loader)
    assert capsys.readouterr().out.strip() == f"{path}: {version['metadata']['name']}"
    assert pipeline["metadata"]["namespace"] == version["metadata"]["namespace"] == "team"
    assert f"image: {TRAIN_IMAGE}" not in path.read_text()
    platform = version["spec"]["platformSpec"]["platforms"]["kubernetes"]
    for config in platform["deploymentSpec"]["executors"].values():
        assert config["podMetadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "gpus"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--output", "pipeline.json"], "is YAML"),
        (["--pipeline", "nightly"], "no pipeline 'nightly': training, daily, experiment"),
    ],
)
def test_a_mistake_is_told(arguments, told, capsys):
    assert main(["compile", *arguments]) == 1
    assert told in capsys.readouterr().err


def test_every_parameter_has_a_default_that_the_form_of_the_ui_accepts_and_a_description(compiled):
    for name, parameter in compiled.parameters.items():
        assert parameter["defaultValue"], name
        assert parameter["description"], name


def test_every_step_may_run_as_nobody_in_particular_and_ends(compiled):
    assert set(compiled.configs) == set(compiled.executors)
    for name, config in compiled.configs.items():
        identity = {"runAsUser": "10001", "runAsGroup": "10001", "runAsNonRoot": True}
        assert config["securityContext"] == identity, name
        assert 0 < int(config["activeDeadlineSeconds"]) <= 3 * 86_400, name


def test_every_step_asks_for_processors_and_memory_and_has_a_limit_of_memory(compiled):
    for name, executor in compiled.executors.items():
        resources = executor["container"]["resources"]
        needed = {"resourceCpuRequest", "resourceMemoryRequest", "resourceMemoryLimit"}
        assert needed <= set(resources), name


def test_no_secret_is_written_down(compiled):
    for executor in compiled.executors.values():
        for variable in executor["container"].get("env", []):
            assert not any(word in variable["name"].lower() for word in SECRET_WORDS)
    for parameter in compiled.parameters.values():
        assert "@" not in str(parameter["defaultValue"])


def test_what_a_step_changes_elsewhere_it_changes_each_time(compiled):
    """An earlier run's outputs do not stand in for a push, a registration or a hand-over."""
    effects = ("publish", "register", "hand-over", "resolve", "ingest")
    for name, task in compiled.tasks.items():
        if name.startswith(effects):
            assert not task["cachingOptions"], name
