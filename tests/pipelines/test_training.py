"""The training pipeline: what is compiled, what the UI can show, and who may read the truth."""

import ast
import re
from pathlib import Path

import pytest

import components
from components.image import TRAIN_IMAGE
from pipelines.training import PUBLISHED, training

COMPONENTS = Path(components.__file__).parent


@pytest.fixture(scope="module")
def compiled(compile_once):
    return compile_once("training")


@pytest.fixture(scope="module")
def tasks(compiled):
    return compiled.spec["root"]["dag"]["tasks"]


def test_the_description_lists_every_step(tasks):
    described = re.findall(r"^\s*\d+\. ([a-z0-9, -]+):", training.pipeline_func.__doc__, re.M)
    listed = {name for names in described for name in names.split(", ")}
    assert listed == {task["taskInfo"]["name"] for task in tasks.values()}


def test_every_step_runs_in_our_image_or_that_of_the_accelerator_and_installs_nothing(compiled):
    images = {step: compiled.executor(step)[0]["image"] for step in compiled.tasks}
    chosen = {step for step, image in images.items() if image != TRAIN_IMAGE}
    assert chosen == {
        *("pretrain", "finetune", "embed-pretrained", "embed-finetuned", "vectors"),
        *("end-to-end", "sequences", "contexts", "in-session", "rank-news", "appendix"),
    }
    assert all("resolve" in images[step] for step in chosen)
    assert "pip install" not in compiled.text


@pytest.mark.parametrize("step", ["ingest", "pretrain", "finetune", "embed-finetuned"])
def test_long_steps_are_tried_again(tasks, step):
    task = next(task for task in tasks.values() if task["taskInfo"]["name"] == step)
    assert task["retryPolicy"]["maxRetryCount"] >= 3


def test_the_ui_can_draw_metrics_a_page_and_a_summary(compiled):
    kinds = set(re.findall(r"schemaTitle: (system\.\w+)", compiled.text))
    assert {"system.Metrics", "system.HTML", "system.Markdown"} <= kinds


def test_what_a_run_publishes_is_an_output_of_the_step_it_names(tasks, compiled):
    components = compiled.spec["components"]
    for place in PUBLISHED.values():
        step, output, _ = place.split("/")
        task = next(task for task in tasks.values() if task["taskInfo"]["name"] == step)
        outputs = components[task["componentRef"]["name"]]["outputDefinitions"]["artifacts"]
        assert output in outputs


def test_evaluation_alone_is_given_the_truth(tasks):
    readers = {
        task["taskInfo"]["name"]
        for task in tasks.values()
        for given in task.get("inputs", {}).get("artifacts", {}).values()
        if given["taskOutputArtifact"]["outputArtifactKey"] == "truth"
    }
    assert readers == {"evaluate"}


def test_no_step_that_learns_is_given_anything_that_evaluation_made(tasks):
    readers = {
        task["taskInfo"]["name"]
        for task in tasks.values()
        for given in task.get("inputs", {}).get("artifacts", {}).values()
        if given["taskOutputArtifact"]["producerTask"].startswith("evaluate")
    }
    assert readers == {"report", "offer-suggestions"}


def test_no_room_but_evaluation_can_read_the_truth():
    """The marketplace writes it; whoever imports its reader is evaluation."""
    importers = {
        file.relative_to(COMPONENTS).parts[0]
        for file in COMPONENTS.rglob("*.py")
        if "components.marketplace.truth" in _imports(file)
    }
    assert importers == {"marketplace", "evaluation"}


def test_the_marketplace_writes_the_truth_and_reads_none_of_it():
    """What entities are called is no secret; who wants which is."""
    reads = [
        node
        for file in (COMPONENTS / "marketplace").glob("*.py")
        if file.name != "truth.py"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "components.marketplace.truth"
    ]
    imported = {alias.name for node in reads for alias in node.names}
    assert imported == {"write_truth", "entity_texts"}


def _imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
