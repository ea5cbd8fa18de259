"""`k8s/` says what the chart says: the base its own values, each overlay those of a profile."""

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

from helm.chart import program, render
from k8s import render as rendering

EXPERIMENT = {
    "service": "ranker",
    "salt": "ranking-1",
    "control": "plain",
    "variants": [{"name": "plain", "inferenceService": "ranker-plain"}],
}
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def built(folder):
    """Give what `kubectl apply -k` would apply, by version, kind, namespace and name."""
    command = [program("kubectl"), "kustomize", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    documents = [each for each in yaml.load_all(done.stdout, Loader=LOADER) if each]
    found = {rendering._key(each): each for each in documents}
    assert len(found) == len(documents), "an object is there twice"
    return found


def of_chart(values=None, *, profile=""):
    return {key: each for key, (_, each) in rendering.objects(values, profile=profile).items()}


def files(folder):
    """Give the content of every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.yaml"))
    }


def test_the_base_is_the_chart_with_its_own_values():
    assert built(rendering.BASE) == of_chart()


@pytest.mark.parametrize("name", sorted(rendering.variants()))
def test_an_overlay_is_the_chart_with_its_profile(name):
    values, profile = rendering.variants()[name]
    assert built(rendering.OVERLAYS / name) == of_chart(values, profile=profile)


def test_there_is_an_overlay_for_each_profile_and_for_the_pinned_kubeflow():
    there = {path.name for path in rendering.OVERLAYS.iterdir()}
    assert there == {"quickstart", "gke-v100", "gke-a100", "on-prem", "kubeflow-26.03"}


def test_files_are_what_rendering_again_gives(monkeypatch, tmp_path):
    for name in ("BASE", "OVERLAYS", "PIPELINES"):
        place = getattr(rendering, name)
        monkeypatch.setattr(rendering, name, tmp_path / place.relative_to(rendering.FOLDER))
    rendering.write_all()
    for name in ("base", "overlays", "pipelines"):
        assert files(tmp_path / name) == files(rendering.FOLDER / name), "run `make manifests`"


def test_kubectl_apply_can_note_every_object_down():
    """It keeps an object's JSON in an annotation, and annotations have 256 KiB together."""
    for name in rendering.variants():
        for key, each in built(rendering.OVERLAYS / name).items():
            assert len(json.dumps(each, separators=(",", ":"))) < 250 << 10, key


def test_nothing_of_helm_and_no_password_is_left():
    for path in sorted(rendering.FOLDER.rglob("*.yaml")):
        assert "helm.sh" not in path.read_text(), path
        for each in yaml.load_all(path.read_text(), Loader=LOADER):
            if each["kind"] == "Secret":
                assert each["type"] == "kubernetes.io/service-account-token"
                assert "data" not in each
                assert "stringData" not in each


def test_what_the_chart_has_and_the_base_has_not_is_known():
    """Hooks are helm's, and experiments are applied on their own, lest a ramp be undone."""
    experiment = {"name": "ranking", "spec": EXPERIMENT}
    chart = render({"experiments": [experiment]})
    left_out = {
        each.key
        for each in chart
        if rendering._is_hook(each.object) or each.object["kind"] == "Experiment"
    }
    assert {kind for kind, _, _ in left_out} == {"Pod", "Experiment"}
    base = {key[1:] for key in built(rendering.BASE)}
    assert {each.key for each in chart} - base == left_out
    assert base - {each.key for each in chart} == {("Namespace", "", "intent-store")}


def test_an_overlay_of_ones_own_values(tmp_path):
    own = {"images": {"registry": "registry.example.com/team"}, "router": {"workers": 5}}
    own |= {"storage": {"registry": "gs://mine/registry", "exposures": "gs://mine/exposures"}}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(own))
    mine = rendering.OVERLAYS / "test-mine"
    try:
        arguments = ["--profile", "gke-a100", "--values", str(tmp_path / "values.yaml")]
        assert rendering.main([*arguments, "--to", str(mine)]) == 0
        found = built(mine)
    finally:
        shutil.rmtree(mine, ignore_errors=True)
    assert found == of_chart(own, profile="gke-a100")
    router = next(v for k, v in found.items() if k[1] == "Deployment")
    assert router["spec"]["template"]["spec"]["containers"][0]["image"].startswith("registry.ex")


def test_values_that_the_chart_refuses_are_named_and_nothing_is_written(tmp_path, capsys):
    (tmp_path / "values.yaml").write_text("router: {replicsa: 3}\n")
    arguments = ["--values", str(tmp_path / "values.yaml"), "--to", str(tmp_path / "mine")]
    assert rendering.main(arguments) == 1
    assert "replicsa" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()


def test_pipelines_are_those_of_the_chart():
    found = built(rendering.PIPELINES)
    kinds = sorted({key[1] for key in found})
    assert kinds == ["Pipeline", "PipelineVersion"]
    chart = Path(rendering.FOLDER).parent / "helm" / "intent-store" / "pipelines"
    of_files = {
        each["metadata"]["name"]
        for path in chart.glob("*.yaml")
        for each in yaml.load_all(path.read_text(), Loader=LOADER)
    }
    assert {key[3] for key in found} == of_files
