"""Plots follow the page and hold what they were given."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from components.evaluation import plots
from components.evaluation.evaluate import METHODS
from components.evaluation.plots import (
    coverage_and_precision,
    frequency_curves,
    loss_curves,
    same_group_by_chance,
    vector_maps,
)

LOG = [{"step": 10, "loss": 9.0}, {"step": 20, "loss": 5.0, "validation_loss": 6.0}]
ROWS = [
    {"method": method, "dataset": dataset, "p@1": 0.1 * place, "coverage": 0.1 * place}
    for dataset in ("D2", "D1-new")
    for place, method in enumerate(METHODS)
]
BANDS = [
    {
        "method": method,
        "dataset": dataset,
        "band": band,
        "precision": 0.5,
        "recall": 0.2,
        "suggested": 0.0 if method == "repeat" else 0.5,
    }
    for method in ("repeat", "BERT_FT+Slice")
    for dataset in ("D2", "D1-new")
    for band in ("1-3", "4-15")
]


def clusters(members=40):
    rng = np.random.default_rng(0)
    groups = ["nurse", "data engineer"] * (members // 2)
    centres = np.array([[1, 0, 0], [0, 1, 0]])
    vectors = centres[np.arange(members) % 2] + rng.normal(0, 0.05, (members, 3))
    return vectors.astype(np.float32), groups


@pytest.fixture(autouse=True)
def quick_projection(monkeypatch):
    """Stand in for t-SNE, which takes seconds whatever the number of members."""
    monkeypatch.setattr(plots, "_project", lambda vectors, seed: vectors[:, :2])


def texts(svg):
    return [node.text for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("text")]


PLOTS = {
    "loss": lambda: loss_curves({"Pre-training": LOG, "Fine-tuning": LOG}),
    "frequency": lambda: frequency_curves(BANDS, ["D2", "D1-new"], shown=5),
    "coverage": lambda: coverage_and_precision(ROWS, ["D2", "D1-new"]),
    "map": lambda: vector_maps({"BERT_FT": clusters()[0]}, clusters()[1], seed=0),
}


@pytest.mark.parametrize("draw", PLOTS.values(), ids=PLOTS)
def test_ink_and_methods_take_their_colours_from_the_page(draw):
    svg = draw()
    ElementTree.fromstring(svg)
    assert "var(--ink)" in svg
    assert not re.search(r"#0[123a]0[123a]", svg)


@pytest.mark.parametrize("draw", PLOTS.values(), ids=PLOTS)
def test_the_same_figures_give_the_same_plot(draw):
    assert draw() == draw()


def test_ids_are_not_shared_between_the_plots_of_a_page():
    ids = [set(re.findall(r'id="([^"]+)"', draw())) for draw in PLOTS.values()]
    assert sum(map(len, ids)) == len(set.union(*ids)) > 0


def test_references_within_a_plot_lead_to_something():
    svg = PLOTS["loss"]()
    used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)
    assert {a or b for a, b in used} <= set(re.findall(r'id="([^"]+)"', svg))


def test_a_method_that_suggests_nothing_has_no_line():
    shown = texts(frequency_curves(BANDS, ["D1-new"], shown=5))
    assert "BERT_FT+Slice" in shown
    assert "repeat" not in shown


def test_a_method_that_covers_nothing_has_no_point():
    silent = [{**row, "coverage": 0.0} if row["method"] == "repeat" else row for row in ROWS]
    assert "repeat" not in texts(coverage_and_precision(silent, ["D2"]))


def test_the_map_tells_how_many_neighbours_are_of_the_same_group():
    vectors, groups = clusters()
    shown = texts(vector_maps({"BERT_FT": vectors}, groups, seed=0))
    assert "BERT_FT: 100% alike" in shown
    assert {"nurse", "data engineer"} <= set(shown)


def test_a_map_may_do_without_groups():
    assert texts(vector_maps({"BERT_FT": clusters()[0]}, None, seed=0)) == ["BERT_FT"]


def test_the_projection_keeps_groups_apart_and_repeats(monkeypatch):
    monkeypatch.undo()
    vectors, _ = clusters()
    flat = plots._project(vectors, seed=0)
    np.testing.assert_array_equal(plots._project(vectors, seed=0), flat)
    one, other = flat[0::2], flat[1::2]
    apart = np.linalg.norm(one.mean(axis=0) - other.mean(axis=0))
    assert apart > 2 * np.linalg.norm(one - one.mean(axis=0), axis=1).mean()


def test_too_few_members_make_no_map():
    vectors, groups = clusters(members=10)
    assert vector_maps({"BERT_FT": vectors}, groups, seed=0) is None


def test_small_groups_share_a_colour():
    vectors, _ = clusters()
    groups = [f"occupation {i % 12}" for i in range(40)]
    shown = texts(vector_maps({"BERT_FT": vectors}, groups, seed=0))
    assert sum(text.startswith("occupation") for text in shown) == 9
    assert "others" in shown


def test_chance_is_that_of_two_members_drawn_without_replacement():
    # Of the 6 pairs of a, a, a, b three are a with a.
    assert same_group_by_chance(["a", "a", "a", "b"]) == pytest.approx(3 / 6)
