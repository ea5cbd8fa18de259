"""Training's variants arrive on a cluster at 0%, whoever else writes there."""

import json
import math
import threading

import pytest
import yaml

from components.cluster.apply import find
from components.cluster.client import EXPERIMENT
from components.cluster.errors import Conflict, Forbidden
from components.experiments.commands import (
    list_experiments,
    ramp_experiment,
    status,
    stop_experiment,
)
from components.experiments.errors import ExperimentsError
from components.experiments.experiments import load_experiments
from components.experiments.places import open_place
from components.experiments.result import Analysis, Comparison
from components.variants.errors import VariantError
from components.variants.offer import offer
from components.variants.package import write_package
from tests.cluster.accounts import make_account, mount_account

pytestmark = pytest.mark.cluster

REGISTRAR = [
    {
        "apiGroups": ["serving.kserve.io"],
        "resources": ["inferenceservices"],
        "verbs": ["get", "create", "patch"],
    },
    {
        "apiGroups": ["intent-store.dev"],
        "resources": ["experiments"],
        "verbs": ["get", "list", "create", "patch"],
    },
]


@pytest.fixture
def place(cluster, namespace, monkeypatch):
    """The experiments of a fresh namespace, as `--experiments` names them."""
    cluster.install_crds()
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    return f"kubernetes:{namespace}"


@pytest.fixture
def package(tmp_path):
    """Return a function that writes a package of a ranker, another version for another content."""

    def write(name, content="1"):
        part = tmp_path / f"part-{content}"
        part.write_text(content)
        target = tmp_path / f"package-{name}-{content}"
        return write_package(target, {"part": part}, service="ranker", name=name, settings={}).path

    return write


@pytest.fixture
def register(package, place, tmp_path):
    def register(*names, content="1", **options):
        packages = [package(name, content) for name in names]
        return offer(packages, str(tmp_path / "registry"), place, **options)

    return register


def percentages(cluster, namespace, name="ranker"):
    resource = cluster.get("-n", namespace, "experiment", name)
    return {v["name"]: v.get("percent") for v in resource["spec"]["variants"]}


def edit_percent(cluster, namespace, name, **percents):
    """Write a person's manifest from what is there, with other percentages."""
    spec = cluster.get("-n", namespace, "experiment", name)["spec"]
    for variant in spec["variants"]:
        if variant["name"] in percents:
            variant["percent"] = percents[variant["name"]]
    return yaml.safe_dump(
        {
            "apiVersion": EXPERIMENT.api_version,
            "kind": "Experiment",
            "metadata": {"name": name},
            "spec": spec,
        }
    )


def at_once(*jobs):
    """Do everything at the same time; give what failed."""
    barrier, failed = threading.Barrier(len(jobs)), []

    def run(job):
        barrier.wait()
        try:
            job()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


def test_a_first_run_brings_services_and_an_experiment_at_nothing(cluster, namespace, register):
    told = register("old", "new").told
    assert percentages(cluster, namespace) == {"old": None, "new": 0}
    assert f"Experiment {namespace}/ranker: old answers, others at 0%: new" in told
    for name in ("old", "new"):
        found = cluster.get("-n", namespace, "inferenceservice", f"ranker-{name}")
        assert found["spec"]["predictor"]["model"]["storageUri"].endswith(
            found["metadata"]["annotations"]["intent-store.dev/version"]
        )
        assert f"InferenceService {namespace}/ranker-{name}: created" in str(told)


def test_registering_again_changes_nothing_and_leaves_a_ramp_alone(
    cluster, namespace, place, register
):
    register("old", "new")
    ramp_experiment(place, "ranker", "new", 20)
    before = cluster.get("-n", namespace, "experiment,inferenceservice")["items"]
    assert register("old", "new").told == []
    assert cluster.get("-n", namespace, "experiment,inferenceservice")["items"] == before
    assert percentages(cluster, namespace) == {"old": None, "new": 20}


def test_a_new_version_moves_its_service_and_nothing_that_a_person_set(
    cluster, namespace, place, register
):
    register("old", "new")
    ramp_experiment(place, "ranker", "new", 20)
    tuned = {"spec": {"predictor": {"minReplicas": 3}}}
    cluster.kubectl(
        *("-n", namespace, "patch", "inferenceservice", "ranker-new"),
        *("--type=merge", "-p", json.dumps(tuned)),
    )
    (told,) = register("new", content="2").told
    assert "spec.predictor.model.storageUri" in told
    found = cluster.get("-n", namespace, "inferenceservice", "ranker-new")
    assert found["spec"]["predictor"]["minReplicas"] == 3
    assert percentages(cluster, namespace) == {"old": None, "new": 20}


def test_a_variant_that_is_new_joins_last_at_nothing(cluster, namespace, place, register):
    register("old", "new")
    ramp_experiment(place, "ranker", "new", 20)
    (_, told) = register("old", "newer").told
    assert told == f"Experiment {namespace}/ranker: added at 0%: newer"
    assert percentages(cluster, namespace) == {"old": None, "new": 20, "newer": 0}


def test_a_dry_run_says_what_would_change_and_changes_nothing(
    cluster, namespace, place, register, tmp_path
):
    told = register("old", "new", dry_run=True).told
    assert len(told) == 3
    assert not (tmp_path / "registry").exists()
    assert cluster.get("-n", namespace, "experiment,inferenceservice")["items"] == []
    register("old", "new")
    told = register("newer", dry_run=True).told
    assert "added at 0%: newer" in told[1]
    assert percentages(cluster, namespace) == {"old": None, "new": 0}


def test_a_person_may_ramp_by_apply_on_either_side_without_a_conflict(cluster, namespace, register):
    register("old", "new")
    manifest = edit_percent(cluster, namespace, "ranker", new=1)
    cluster.kubectl("-n", namespace, "apply", "--server-side", "-f", "-", input=manifest)
    assert percentages(cluster, namespace) == {"old": None, "new": 1}
    register("newer")
    # What this manifest does not name is not its own, so it stays.
    cluster.kubectl("-n", namespace, "apply", "--server-side", "-f", "-", input=manifest)
    assert percentages(cluster, namespace) == {"old": None, "new": 1, "newer": 0}


def test_registrations_a_ramp_and_a_guardrail_at_once_lose_nothing(
    cluster, namespace, place, package
):
    registry = str(package("old").parent / "registry")
    offer([package("old"), package("new")], registry, place)
    newer = package("newer")
    open_place(place).ramp("ranker", "new", 1)
    guard = open_place(place, manager="intent-store-router")
    failed = at_once(
        lambda: offer([newer], registry, place),
        lambda: offer([newer], registry, place),
        lambda: [open_place(place).ramp("ranker", "new", n) for n in range(2, 11)],
        lambda: [guard.set_stopped("ranker", n % 2 == 0) for n in range(8)],
    )
    assert failed == []
    assert percentages(cluster, namespace) == {"old": None, "new": 10, "newer": 0}
    assert cluster.get("-n", namespace, "experiment", "ranker")["spec"]["stopped"] is False


def test_two_first_registrations_at_once_make_one_experiment(cluster, namespace, place, package):
    packages = [package(name) for name in ("a", "b", "c")]
    failed = at_once(
        *(
            lambda package=package: offer([package], str(package.parent / "registry"), place)
            for package in packages
        )
    )
    assert failed == []
    assert sorted(percentages(cluster, namespace)) == ["a", "b", "c"]


def test_whoever_owns_the_package_of_a_service_is_named_and_not_overruled(
    cluster, namespace, register
):
    register("old")
    manifest = cluster.get("-n", namespace, "inferenceservice", "ranker-old")
    mine = {k: manifest[k] for k in ("apiVersion", "kind", "spec")}
    mine["metadata"] = {"name": "ranker-old"}
    mine["spec"]["predictor"]["model"]["storageUri"] = "gs://elsewhere/x"
    cluster.kubectl(
        *("-n", namespace, "apply", "--server-side", "--force-conflicts"),
        *("--field-manager=gitops", "-f", "-"),
        input=yaml.safe_dump(mine),
    )
    with pytest.raises(Conflict) as refused:
        register("old", content="2")
    for told in (f"InferenceService {namespace}/ranker-old", "storageUri", "gitops", "--manifests"):
        assert told in str(refused.value)


def test_the_registrars_account_suffices_and_may_not_do_more(
    cluster, namespace, register, tmp_path, monkeypatch
):
    make_account(cluster, namespace, "intent-store-registrar", REGISTRAR)
    folder = mount_account(
        cluster, namespace, "intent-store-registrar", tmp_path / "account", monkeypatch
    )
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    register("old", "new", credentials=folder)
    register("newer", credentials=folder)
    assert percentages(cluster, namespace) == {"old": None, "new": 0, "newer": 0}
    with pytest.raises(Forbidden, match="experiments"):
        open_place("kubernetes:default", credentials=folder).load()


def test_an_analysis_is_kept_in_short_with_its_experiment(cluster, namespace, place, register):
    register("old", "new")
    compared = Comparison(
        variant="new", metric="ctr", mean=0.22, control_mean=0.2, lift=0.1, low=0.0, high=0.2,
        p=0.04, always_low=-0.05, always_high=math.inf, always_p=0.2, reduction=0.0, enough=True,
    )  # fmt: skip
    analysis = Analysis(
        experiment="ranker", service="ranker", revision="r1", control="old", primary="ctr",
        first=1, last=2, variants=[], comparisons=[compared], epochs=[], excluded={}, trips=[],
        looks=[], verdict="new: too early to say",
    )  # fmt: skip
    assert open_place(place).note_analysis(analysis)
    kept = cluster.get("-n", namespace, "experiment", "ranker")["status"]["analysis"]
    assert (kept["revision"], kept["verdict"]) == ("r1", "new: too early to say")
    assert kept["variants"] == [{"name": "new", "lift": 0.1, "low": -0.05}]
    assert "too early" in cluster.kubectl("-n", namespace, "get", "experiments", "-o", "wide")
    assert "last analysis: new: too early to say" in status(place, "ranker", None)


def test_a_ramp_is_held_to_the_rules_before_it_is_sent(cluster, namespace, place, register):
    register("old", "new")
    for name, variant, percent, reason in (
        ("ranker", "new", 101, "percent"),
        ("ranker", "new", 0.005, "two decimals"),
        ("ranker", "old", 5, "is the control"),
        ("ranker", "nobody", 5, "no variant nobody, there is new"),
        ("encoder", "new", 5, "no experiment encoder, there is ranker"),
    ):
        with pytest.raises(ExperimentsError, match=reason):
            ramp_experiment(place, name, variant, percent)
    assert percentages(cluster, namespace) == {"old": None, "new": 0}
    assert "new 5 %" in ramp_experiment(place, "ranker", "new", 5)
    assert "STOPPED" in stop_experiment(place, "ranker")
    assert "new 5 %" in list_experiments(place)


REFUSED_BY_THE_SERVER = {
    "an unknown service": ({"service": "cook"}, "spec.service"),
    "101 %": ({"percent": 101}, "percent"),
    "less than nothing": ({"percent": -1}, "percent"),
    "a name in capitals": ({"name": "New"}, "name"),
    "two of one name": ({"name": "old"}, "Duplicate"),
    "no control": ({"control": None}, "spec.control"),
    "no variants": ({"variants": []}, "spec.variants"),
    "a percentage in words": ({"percent": "ten"}, "percent"),
}


@pytest.mark.parametrize(
    ("change", "field"), REFUSED_BY_THE_SERVER.values(), ids=REFUSED_BY_THE_SERVER
)
def test_the_definition_refuses_what_its_schema_can(cluster, namespace, change, field):
    cluster.install_crds()
    new = {"name": "new", "inferenceService": "ranker-new", "percent": 1}
    spec = {
        "service": "ranker",
        "salt": "s",
        "control": "old",
        "variants": [{"name": "old", "inferenceService": "ranker-old"}, new],
    }
    for key, value in change.items():
        (new if key in ("name", "percent") else spec)[key] = value
    manifest = {
        "apiVersion": EXPERIMENT.api_version,
        "kind": "Experiment",
        "metadata": {"name": "ranker"},
        "spec": {key: value for key, value in spec.items() if value is not None},
    }
    said = cluster.kubectl(
        *("-n", namespace, "apply", "--validate=false", "-f", "-"),
        input=yaml.safe_dump(manifest),
        check=False,
    )
    assert field in said
    assert find(cluster.client(), EXPERIMENT, "ranker", namespace=namespace) is None


def test_files_to_commit_say_the_same_and_keep_what_a_person_wrote(package, tmp_path, place):
    folder, registry = tmp_path / "repository", str(tmp_path / "registry")
    packages = [package("old"), package("new")]
    offer(packages, registry, place, manifests=folder)
    service = folder / "inferenceservices" / "ranker-new.yaml"
    service.write_text(
        service.read_text().replace("  predictor:\n", "  predictor:\n    minReplicas: 2 # ours\n")
    )
    experiment = folder / "experiments" / "ranker.yaml"
    experiment.write_text("# ramped by a person\n" + experiment.read_text().replace(": 0", ": 7"))
    before = service.read_text(), experiment.read_text()
    assert offer(packages, registry, place, manifests=folder).told == []
    assert (service.read_text(), experiment.read_text()) == before
    (told,) = offer([package("new", "2")], registry, place, manifests=folder).told
    assert told.startswith(f"{service}: now version ")
    assert "minReplicas: 2 # ours" in service.read_text()
    assert yaml.safe_load(service.read_text())["spec"]["predictor"]["model"]["storageUri"].endswith(
        told.rpartition(" ")[2]
    )
    (found,) = load_experiments(folder / "experiments")
    assert {v.name: v.percent for v in found.treatments} == {"new": 7}


def test_a_file_to_commit_that_is_something_else_is_refused_by_name(package, tmp_path, place):
    folder = tmp_path / "repository"
    (folder / "inferenceservices").mkdir(parents=True)
    path = folder / "inferenceservices" / "ranker-old.yaml"
    path.write_text("kind: Poem\n")
    with pytest.raises(VariantError, match=r"ranker-old\.yaml: metadata\.annotations"):
        offer([package("old")], str(tmp_path / "registry"), place, manifests=folder)
    assert path.read_text() == "kind: Poem\n"
