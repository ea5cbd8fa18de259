"""An edit changes one value of a manifest and leaves every other character alone."""

import difflib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.experiments.edit import add_variant, find_manifest, ramp, set_stopped
from components.experiments.errors import ExperimentsError
from components.experiments.manifest import read_manifest

BLOCK = """\
# Why we do this.
apiVersion: intent-store.dev/v1alpha1
kind: Experiment
metadata:
  name: colours   # ours
spec:
  service: ranker
  salt: "colours-1"

  control: old
  variants:
    - name: old
      inferenceService: ranker-old
    # the brave one
    - name: new
      inferenceService: ranker-new
      percent: 12.34 # since Monday
    - {percent: 5, name: "other", inferenceService: ranker-other}
  guardrails:
    - {metric: ctr, noWorseThan: 20}
"""
FLOW = (
    "{apiVersion: intent-store.dev/v1alpha1, kind: Experiment, metadata: {name: colours}, "
    "spec: {service: ranker, salt: s, control: old, variants: [{name: old, inferenceService: o}, "
    "{name: new, inferenceService: n, percent: 1},]}}"
)


def changed(before: str, after: str) -> list[str]:
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in lines if line[0] in "+-"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "colours.yaml").write_text(BLOCK)
    return tmp_path / "colours.yaml"


def test_a_ramp_replaces_the_number_and_keeps_the_comment(path: Path) -> None:
    before = read_manifest(path)
    after = ramp(path, "new", 20)
    assert changed(BLOCK, path.read_text()) == [
        "-       percent: 12.34 # since Monday",
        "+       percent: 20 # since Monday",
    ]
    assert after == read_manifest(path)
    assert after.revision != before.revision
    assert ramp(path, "new", 12.34).revision == before.revision


def test_a_ramp_finds_a_percentage_written_in_any_style(path: Path) -> None:
    ramp(path, "other", 0.01)
    assert "- {percent: 0.01, name" in path.read_text()
    path.write_text(FLOW)
    ramp(path, "new", 99.99)
    assert path.read_text() == FLOW.replace("percent: 1}", "percent: 99.99}")


def test_line_ends_and_rights_stay_as_they_were(path: Path) -> None:
    path.write_bytes(BLOCK.replace("\n", "\r\n").encode())
    path.chmod(0o640)
    ramp(path, "new", 0)
    assert path.read_bytes() == BLOCK.replace("12.34", "0").replace("\n", "\r\n").encode()
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("variant", "percent", "said"),
    [
        ("new", 101, "spec.variants\\[1\\].percent: 101"),
        ("new", 0.005, "at most two decimals"),
        ("new", 96, "add up to more than 100"),
        ("new", float("nan"), "percent"),
        ("old", 10, "old is the control"),
        ("newer", 10, "no variant newer, there is new, other"),
    ],
)
def test_a_ramp_that_may_not_be_leaves_the_file(path: Path, variant, percent, said) -> None:
    with pytest.raises(ExperimentsError, match=said):
        ramp(path, variant, percent)
    assert path.read_text() == BLOCK
    assert [p.name for p in path.parent.iterdir()] == ["colours.yaml"]


@pytest.mark.parametrize("text", [BLOCK, FLOW], ids=["block", "flow"])
def test_the_kill_switch_is_added_thrown_and_taken_back(path: Path, text: str) -> None:
    path.write_text(text)
    assert set_stopped(path).stopped
    assert not set_stopped(path, stopped=False).stopped
    assert path.read_text().count("stopped: false") == 1


def test_a_new_variant_comes_last_at_0_percent_in_the_style_of_the_others(path: Path) -> None:
    one = BLOCK.replace('    - {percent: 5, name: "other", inferenceService: ranker-other}\n', "")
    path.write_text(one)
    assert [v.percent for v in add_variant(path, "brighter", "ranker-b").treatments] == [12.34, 0]
    assert changed(one, path.read_text()) == [
        "+     - name: brighter",
        "+       inferenceService: ranker-b",
        "+       percent: 0",
    ]
    path.write_text(FLOW)
    add_variant(path, "brighter", "ranker-b")
    assert "percent: 1}, {name: brighter, inferenceService: ranker-b, percent: 0},]" in (
        path.read_text()
    )


def test_a_variant_that_would_move_units_is_not_added(path: Path) -> None:
    with pytest.raises(ExperimentsError, match="one more treatment would move units"):
        add_variant(path, "third", "ranker-third")
    with pytest.raises(ExperimentsError, match="new is there twice"):
        add_variant(path, "new", "ranker-new")
    assert path.read_text() == BLOCK


def test_edits_at_once_are_all_kept(path: Path) -> None:
    ramp(path, "new", 0)
    ramp(path, "other", 0)
    names = [f"v{number}" for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: add_variant(path, name, f"ranker-{name}"), names))
    assert {v.name for v in read_manifest(path).treatments} == {"new", "other", *names}


def test_an_experiment_is_found_by_its_name(path: Path) -> None:
    assert find_manifest(path.parent, "colours") == path
    with pytest.raises(ExperimentsError, match="no experiment shapes, there is colours"):
        find_manifest(path.parent, "shapes")
    path.write_text("spec: {")
    with pytest.raises(ExperimentsError, match=r"there is none; refused: .*colours.yaml"):
        find_manifest(path.parent, "colours")


def test_a_link_to_a_manifest_stays_a_link(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    ramp(link, "new", 1)
    assert link.is_symlink()
    assert "percent: 1 #" in path.read_text()
