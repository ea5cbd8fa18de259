"""New variants join their service's experiment at 0%."""

import pytest

from components.experiments.edit import ramp
from components.experiments.errors import ExperimentsError
from components.experiments.experiments import load_experiments
from components.variants.enrol import enrol
from components.variants.errors import VariantError


@pytest.fixture
def abouts(package):
    return lambda *names: [package(name=name).about for name in names]


def percentages(experiments):
    (experiment,) = load_experiments(experiments)
    return {variant.name: variant.percent for variant in experiment.variants}


def test_a_service_without_experiment_gets_one_that_its_first_variant_answers(abouts, tmp_path):
    told = enrol(tmp_path / "e", abouts("old", "new"))
    assert percentages(tmp_path / "e") == {"old": None, "new": 0}
    assert "old answers, others at 0%: new" in told[0]
    assert {a.variant for a in load_experiments(tmp_path / "e").assign("ranker", ["m1", "m2"])} == {
        "old"
    }


def test_a_new_variant_joins_at_nothing_and_nobody_else_moves(abouts, tmp_path):
    enrol(tmp_path, abouts("old", "new"))
    ramp(tmp_path / "ranker.yaml", "new", 20)
    enrol(tmp_path, abouts("old", "new", "newer"))
    assert percentages(tmp_path) == {"old": None, "new": 20, "newer": 0}


def test_a_variant_that_is_enrolled_already_changes_nothing(abouts, tmp_path):
    enrol(tmp_path, abouts("old", "new"))
    before = (tmp_path / "ranker.yaml").read_text()
    assert enrol(tmp_path, abouts("new", "old")) == []
    assert (tmp_path / "ranker.yaml").read_text() == before


def test_four_variants_have_lanes_so_that_each_can_be_ramped(abouts, tmp_path):
    enrol(tmp_path, abouts("old", "a", "b", "c"))
    for name in ("a", "b", "c"):
        ramp(tmp_path / "ranker.yaml", name, 33)
    assert percentages(tmp_path) == {"old": None, "a": 33, "b": 33, "c": 33}


def test_services_have_experiments_of_their_own(package, tmp_path):
    enrol(tmp_path / "e", [package().about, package(service="encoder", name="v1").about])
    assert load_experiments(tmp_path / "e").services == ["encoder", "ranker"]


def test_where_a_service_has_several_experiments_one_must_be_named(abouts, tmp_path):
    for name, start in (("one", 0), ("two", 50)):
        enrol(tmp_path / name, abouts("old"))
        text = (tmp_path / name / "ranker.yaml").read_text()
        text = text.replace("  name: ranker\n", f"  name: {name}\n")
        text = text.replace(
            "  salt: ranker-1\n",
            f"  salt: {name}\n  layer: {{name: shared, start: {start}, size: 50}}\n",
        )
        (tmp_path / "e").mkdir(exist_ok=True)
        (tmp_path / "e" / f"{name}.yaml").write_text(text)
    with pytest.raises(VariantError, match="say which takes new: one, two"):
        enrol(tmp_path / "e", abouts("old", "new"))
    enrol(tmp_path / "e", abouts("old", "new"), experiment="two")
    sizes = {e.name: len(e.variants) for e in load_experiments(tmp_path / "e")}
    assert sizes == {"one": 1, "two": 2}
    with pytest.raises(ExperimentsError, match="no experiment three"):
        enrol(tmp_path / "e", abouts("newest"), experiment="three")


def test_a_manifest_that_does_not_hold_is_not_overwritten(abouts, tmp_path):
    (tmp_path / "ranker.yaml").write_text("kind: Experiment\n")
    with pytest.raises(VariantError, match="holds no valid experiment of ranker"):
        enrol(tmp_path, abouts("old"))
    assert (tmp_path / "ranker.yaml").read_text() == "kind: Experiment\n"
