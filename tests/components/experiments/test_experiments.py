"""A directory of manifests: a broken one never hides the others, and its last good one goes on."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.experiments.errors import ExperimentsError
from components.experiments.experiments import admit, load_experiments
from tests.components.experiments.manifests import document

SHIPPED = Path(__file__).parents[3] / "serving/fortnight/manifests"


def layered(name: str, start: float, size: float, **spec: Any) -> dict[str, Any]:
    return document(name=name, layer={"name": "all", "start": start, "size": size}, **spec)


def write(directory: Path, **manifests: Any) -> None:
    for name, manifest in manifests.items():
        text = manifest if isinstance(manifest, str) else yaml.safe_dump(manifest)
        (directory / f"{name}.yaml").write_text(text)


def test_the_shipped_experiments_hold_together() -> None:
    shipped = load_experiments(SHIPPED)
    assert not shipped.rejected
    assert shipped.services == ["audience", "candidates", "ranker", "suggestions"]
    assert len(shipped.of("suggestions")) == 3


def test_a_broken_manifest_is_reported_beside_the_others(tmp_path: Path) -> None:
    write(tmp_path, a="spec: {", b=document(name="b", service="encoder"), c=document({"x": 101}))
    (tmp_path / ".hidden.yaml").write_text("}")
    (tmp_path / "notes.txt").write_text("}")
    got = load_experiments(tmp_path)
    assert list(got.by_name) == ["b"]
    assert [Path(r.source).name for r in got.rejected] == ["a.yaml", "c.yaml"]
    assert all(r.source in r.reason and r.kept is None for r in got.rejected)


def test_the_last_good_version_of_a_broken_manifest_goes_on(tmp_path: Path) -> None:
    write(tmp_path, a=document({"blue": 10}, name="a"))
    good = load_experiments(tmp_path)
    write(tmp_path, a="kind: [", b=document(name="b", service="encoder"))
    got = load_experiments(tmp_path, good)
    assert got.by_name["a"] is good.by_name["a"]
    assert [(Path(r.source).name, r.kept) for r in got.rejected] == [("a.yaml", "a")]
    assert set(got.by_name) == {"a", "b"}
    (tmp_path / "a.yaml").unlink()
    assert set(load_experiments(tmp_path, got).by_name) == {"b"}


def test_a_change_that_moves_units_leaves_the_last_good_version(tmp_path: Path) -> None:
    write(tmp_path, a=document({"x": 10, "y": 10}, name="a"))
    good = load_experiments(tmp_path)
    write(tmp_path, a=document({"y": 10, "x": 10}, name="a"))
    got = load_experiments(tmp_path, good)
    assert got.by_name["a"] is good.by_name["a"]
    assert "keep their order" in got.rejected[0].reason


CLASHES = {
    "overlapping ranges": (
        layered("b", 59.99, 40),
        "59.99 to 99.99 % of all overlaps",
    ),
    "no layer": (document(name="b"), "give both a range of one layer"),
    "another layer": (
        document(name="b", layer={"name": "other", "start": 60, "size": 10}),
        "give both a range of one layer",
    ),
    "another control": (layered("b", 60, 40, control="blue", variants=[]), "spec.control"),
    "another header": (
        layered("b", 60, 40, unit={"header": "x-device"}),
        "split by x-member-id",
    ),
    "the same salt": (layered("b", 60, 40, salt="a"), "spec.salt: a is a's"),
    "the same name": (layered("a", 60, 40, salt="b"), "a is already the name of"),
    "the same override": (
        layered("b", 60, 40, overrides=[{"units": ["m1"], "variant": "blue"}]),
        "m1 is overridden by a too",
    ),
    "overlap with another service": (layered("b", 10, 10, service="encoder"), "overlaps"),
}
CLASHES["another control"][0]["spec"]["variants"] = [
    {"name": "blue", "inferenceService": "ranker-blue"}
]


@pytest.mark.parametrize("clash", CLASHES.values(), ids=CLASHES.keys())
def test_of_two_that_clash_the_one_that_runs_goes_on(clash) -> None:
    second, said = clash
    first = layered("a", 0, 60, overrides=[{"units": ["m1"], "variant": "blue"}])
    # The newcomer's file sorts first: what runs has the right of way, not what is read first.
    running = admit({"z.yaml": first})
    got = admit({"a.yaml": second, "z.yaml": first}, running)
    assert [e.source for e in got] == ["z.yaml"]
    assert said in got.rejected[0].reason
    assert got.rejected[0].source == "a.yaml"


def test_experiments_may_swap_their_ranges_in_one_change() -> None:
    running = admit({"a": layered("a", 0, 60), "b": layered("b", 60, 40)})
    got = admit({"a": layered("a", 40, 60), "b": layered("b", 0, 40)}, running)
    assert not got.rejected
    assert [e.name for e in got.of("ranker")] == ["b", "a"]


def test_a_clash_between_two_changes_keeps_what_ran() -> None:
    running = admit({"a": layered("a", 0, 50), "b": layered("b", 50, 50)})
    got = admit({"a": layered("a", 0, 60), "b": "broken"}, running)
    assert {e.name: e.layer.size for e in got if e.layer} == {"a": 50, "b": 50}
    assert {r.source: r.kept for r in got.rejected} == {"a": "a", "b": "b"}


def test_units_outside_of_every_range_get_control_and_belong_to_no_experiment() -> None:
    got = admit({"a": layered("a", 0, 50)})
    assigned = got.assign("ranker", [f"m{n}" for n in range(1000)])
    outside = [a for a in assigned if a.experiment is None]
    assert 400 < len(outside) < 600
    assert {a.variant for a in outside} == {"control"}


def test_a_reason_says_why_a_unit_was_not_drawn() -> None:
    named = [{"units": ["m1"], "variant": "blue"}]
    running = admit({"a": document({"blue": 0}, overrides=named)})
    assert [tuple(a) for a in running.assign("ranker", ["m1", "m2", ""])] == [
        ("colours", "blue", "override"),
        ("colours", "control", ""),
        (None, "control", "no unit"),
    ]
    stopped = admit({"a": document({"blue": 100}, overrides=named, stopped=True)})
    assert {a.reason for a in stopped.assign("ranker", ["m1", "m2"])} == {"stopped"}
    with pytest.raises(ExperimentsError, match="encoder: no experiment"):
        running.assign("encoder", ["m1"])


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExperimentsError, match="nowhere: no such directory"):
        load_experiments(tmp_path / "nowhere")
