"""Allocation is sticky, exact, monotone and exclusive, and nginx agrees with it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.experiments.allocation import (
    BUCKETS,
    allocate,
    hundredths,
    layer_segments,
    ranges,
    segments,
)
from components.experiments.experiments import admit
from components.experiments.manifest import Experiment
from tests.components.experiments.manifests import document, experiment
from tests.components.experiments.nginx import split_by_nginx

UNITS = [f"member-{number}" for number in range(20_000)]


def owners(made: Experiment) -> np.ndarray:
    """The variant of every bucket."""
    return np.concatenate([[s.variant] * hundredths(s.percent) for s in segments(made)])


@st.composite
def ramps(draw: st.DrawFn) -> tuple[dict, list[dict[str, float]]]:
    """Lanes' limits, and the percentages of one to five treatments over a ramp that they allow."""
    count = draw(st.integers(1, 5))
    names = [f"t{place}" for place in range(count)]
    limits: dict[str, float] = {}
    if draw(st.booleans()):
        left = BUCKETS
        for place, name in enumerate(names):
            most = left - (count - 1 - place)
            wide = draw(st.integers(1, most))
            limits[name], left = wide / 100, left - wide
    lanes = bool(limits) or count > 2
    steps = []
    for _ in range(draw(st.integers(1, 6))):
        step, left = {}, BUCKETS
        for name in names:
            lane = hundredths(limits[name]) if limits else BUCKETS // count if lanes else left
            step[name] = draw(st.integers(0, min(lane, left))) / 100
            left -= hundredths(step[name])
        steps.append(step)
    return limits, steps


@settings(max_examples=150, deadline=None)
@given(ramps())
def test_a_ramp_is_exact_and_moves_no_bucket_between_treatments(ramp) -> None:
    limits, steps = ramp
    made = [experiment(step, limits=limits) for step in steps]
    for step, one in zip(steps, made, strict=True):
        own = owners(one)
        assert len(own) == BUCKETS
        for name, percent in step.items():
            assert (own == name).sum() == hundredths(percent)
    for (before, old), (after, new) in pairwise(zip(steps, map(owners, made), strict=True)):
        for name in before:
            had, has = old == name, new == name
            if after[name] >= before[name]:
                assert has[had].all(), "raising or keeping a percentage moves nobody away"
            else:
                assert had[has].all(), "lowering one brings nobody in"


@settings(max_examples=50, deadline=None)
@given(ramps())
def test_a_new_reader_of_the_same_manifest_gives_the_same_answer(ramp) -> None:
    limits, steps = ramp
    first, again = (experiment(steps[-1], limits=limits) for _ in range(2))
    assert allocate(first, UNITS[:200]) == allocate(again, UNITS[:200])
    assert first.revision == again.revision


def test_shares_of_units_are_those_declared_within_the_noise_of_a_draw() -> None:
    got = allocate(experiment({"blue": 12.34, "green": 40.0}), UNITS)
    for name, percent in {"blue": 12.34, "green": 40.0, "control": 47.66}.items():
        share = percent / 100
        noise = np.sqrt(share * (1 - share) / len(UNITS))
        assert got.count(name) / len(UNITS) == pytest.approx(share, abs=4 * noise)


def test_one_treatment_grows_from_the_start_and_a_second_from_the_end() -> None:
    made = experiment({"blue": 10, "green": 0.01})
    assert ranges(made) == {"blue": (0, 1000), "green": (9999, 10000)}
    assert [tuple(s) for s in segments(made)] == [
        (10.0, "blue"),
        (89.99, "control"),
        (0.01, "green"),
    ]


def test_three_treatments_own_a_third_each_unless_limits_say_otherwise() -> None:
    made = experiment({"a": 1, "b": 2, "c": 33.33})
    assert ranges(made) == {"a": (0, 100), "b": (3333, 3533), "c": (6666, 9999)}
    wide = experiment({"a": 1, "b": 2, "c": 80}, limits={"a": 10, "b": 10, "c": 80})
    assert ranges(wide) == {"a": (0, 100), "b": (1000, 1200), "c": (2000, 10000)}


def test_a_stopped_experiment_gives_everybody_control_overrides_included() -> None:
    made = experiment(
        {"blue": 100}, stopped=True, overrides=[{"units": ["member-1"], "variant": "blue"}]
    )
    assert set(allocate(made, UNITS[:100])) == {"control"}


def test_an_override_gives_a_named_unit_its_variant_in_exactly_that_spelling() -> None:
    made = experiment({"blue": 0}, overrides=[{"units": ["M7"], "variant": "blue"}])
    assert allocate(made, ["M7", "m7", "M77"]) == ["blue", "control", "control"]


@pytest.mark.parametrize("unit", ["", "m" * 129, "mémbre", "a\tb"])
def test_what_is_no_unit_gets_control(unit: str) -> None:
    assert allocate(experiment({"blue": 100}), [unit]) == ["control"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 2500), min_size=2, max_size=4))
def test_no_unit_is_in_two_experiments_of_a_layer(sizes: list[int]) -> None:
    start, manifests = 0, {}
    for number, size in enumerate(sizes):
        layer = {"name": "search", "start": start / 100, "size": size / 100}
        manifests[f"{number}.yaml"] = document({"blue": 50}, name=f"e{number}", layer=layer)
        start += size
    experiments = admit(manifests)
    assert not experiments.rejected
    drawn = [allocate(e, UNITS[:2000]) for e in experiments]
    inside = sum(np.array([v is not None for v in one]) for one in drawn)
    assert inside.max() <= 1
    widths = {s.variant: hundredths(s.percent) for s in layer_segments(experiments.of("ranker"))}
    assert [widths[f"e{number}"] for number in range(len(sizes))] == sizes
    for place, got in enumerate(experiments.assign("ranker", UNITS[:2000])):
        assert got.variant == next((one[place] for one in drawn if one[place]), "control")
        assert (got.experiment is not None) == bool(inside[place])


def test_twenty_concurrent_experiments_are_independent_of_each_other() -> None:
    # Salts as people choose them: alike but for a digit.
    made = [experiment({"blue": 50}, name=f"exp-{number}") for number in range(20)]
    drawn = np.array([[v == "blue" for v in allocate(one, UNITS)] for one in made])
    phi = np.corrcoef(drawn)[np.triu_indices(20, 1)]
    # phi of independent draws has a deviation of 1 / sqrt(n); the largest of 190 reaches 3.5.
    assert np.abs(phi).max() < 4.5 / np.sqrt(len(UNITS))
    assert np.sqrt((phi**2).mean()) == pytest.approx(1 / np.sqrt(len(UNITS)), rel=0.2)


def test_nginx_gives_each_of_100k_units_the_same_variant(tmp_path) -> None:
    rng = np.random.default_rng(1)
    units = [f"m{number}" for number in range(60_000)]
    letters = np.frombuffer(b"!#()*,-./0129:;<=>?@AZ[]^_`az{|}~", np.uint8)
    units += [rng.choice(letters, size).tobytes().decode() for size in rng.integers(1, 129, 40_000)]
    made = [
        experiment({"blue": 12.34, "green": 40.01}, name="two-ends"),
        experiment({"a": 0.01, "b": 33.33, "c": 7}, name="lanes"),
        experiment({"blue": 99.99}, name="nearly-all"),
    ]
    got = split_by_nginx({e.name: (f"{e.salt}:", segments(e)) for e in made}, units, tmp_path)
    for one in made:
        assert got[one.name] == allocate(one, units)
