"""The manifests to ramp by are those that training's first run makes."""

from pathlib import Path

import pytest
import yaml

from components.experiments.experiments import load_experiments
from components.experiments.places import Folder
from components.variants.enrol import enrol
from components.variants.names import FINETUNED
from components.variants.package import read_about, write_package
from components.variants.packaging import (
    AUDIENCES,
    CANDIDATES,
    RANKERS,
    SUGGESTERS,
    packages_below,
)

RAMPS = Path(__file__).parents[2] / "k8s" / "experiments"
OFFERED = {
    "encoder": [FINETUNED],
    "suggestions": list(SUGGESTERS),
    "ranker": list(RANKERS),
    "audience": list(AUDIENCES),
    "candidates": list(CANDIDATES),
}


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """The experiments as a run registers them that trained everything."""
    home = tmp_path_factory.mktemp("run")
    (home / "part").write_text("x")
    for service, names in OFFERED.items():
        for name in names:
            target = home / service / name
            write_package(target, {"x": home / "part"}, service=service, name=name, settings={})
    abouts = [read_about(p) for service in OFFERED for p in packages_below(home / service)]
    enrol(home / "experiments", abouts)
    return home / "experiments"


@pytest.mark.parametrize("service", OFFERED)
def test_a_ramp_begins_with_what_training_registers(service, registered):
    ours, theirs = (
        yaml.safe_load((folder / f"{service}.yaml").read_text()) for folder in (RAMPS, registered)
    )
    assert ours == theirs


def test_they_hold_by_the_rules_and_together():
    found = load_experiments(RAMPS)
    assert found.rejected == ()
    assert found.services == sorted(OFFERED)


def test_each_treatment_can_be_ramped_to_its_lane_and_back(tmp_path):
    for path in RAMPS.glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text())
    place = Folder(tmp_path)
    for experiment in place.load():
        for percent in (1, 20, 33, 0):
            for variant in experiment.treatments:
                place.ramp(experiment.name, variant.name, percent)
    for path in RAMPS.glob("*.yaml"):
        assert (tmp_path / path.name).read_text() == path.read_text()
