"""An analysis says the same as what was planted, and first whether it can be trusted at all."""

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml

from components.experiments.analysis import analyse
from components.experiments.commands import (
    analyse_files,
    list_experiments,
    ramp_experiment,
    status,
    stop_experiment,
)
from components.experiments.errors import ExperimentsError
from components.experiments.exposures import write_exposures, write_outcomes
from components.experiments.manifest import Experiment
from tests.components.experiments import traffic
from tests.components.experiments.manifests import document, experiment


def simulated(one: Experiment, blue: float, *, units: int = 1200, seed: int = 1, first: int = 10):
    return traffic.days(
        one,
        units=units,
        days=range(first, first + 10),
        rates={"control": 0.2, "blue": blue, "green": 0.2},
        rng=np.random.default_rng(seed),
    )


def rows(seen: list[tuple], done: list[tuple]) -> tuple[Experiment, pa.Table, pa.Table]:
    """Overridable little tables: (unit, ts, request, variant) and (unit, ts, metric, request)."""
    one = experiment({"blue": 50})
    exposed = [dict(zip(("unit", "ts", "request_id", "variant"), r, strict=True)) for r in seen]
    happened = [
        {**dict(zip(("unit", "ts", "metric", "request_id"), r, strict=True)), "value": 1.0}
        for r in done
    ]
    return one, traffic.exposures(one, exposed), traffic.outcomes(happened)


def test_nothing_is_found_between_equals() -> None:
    one = experiment({"blue": 50})
    found = analyse(one, *simulated(one, 0.2))
    assert found.verdict.startswith("No difference from control is sure: blue clicks per request")
    row = found.of("blue", "ctr")
    assert row.always_low < row.low < 0 < row.high < row.always_high
    assert [e.mismatch for e in found.epochs] == [False]


def test_a_better_variant_wins_and_a_worse_one_loses() -> None:
    one = experiment({"blue": 40, "green": 20})
    better = analyse(one, *simulated(one, 0.28))
    assert better.verdict.startswith("blue is better than control: clicks per request +")
    assert better.of("blue", "ctr").always_low < 0.4 < better.of("blue", "ctr").always_high
    assert better.of("green", "ctr").always_p > 0.05
    worse = analyse(one, *simulated(one, 0.13))
    assert worse.verdict.startswith(
        "blue is worse than control: clicks per request −".replace("−", "-")
    )


def test_the_result_comes_about_look_by_look() -> None:
    one = experiment({"blue": 50})
    looks = analyse(one, *simulated(one, 0.3)).looks
    assert len(looks) > 6
    widths = [look.always_high - look.always_low for look in looks]
    assert widths[-1] < widths[0] / 2


def test_what_units_did_before_explains_part_of_it() -> None:
    one = experiment({"blue": 50})
    seen, done = simulated(one, 0.2)
    _, before = traffic.days(
        one,
        units=1200,
        days=range(10),
        rates={"control": 0.2, "blue": 0.2},
        rng=np.random.default_rng(5),
    )
    plain, known = analyse(one, seen, done), analyse(one, seen, done, before)
    assert known.of("blue", "ctr").reduction > 0.02
    assert known.of("blue", "seconds").reduction == 0
    assert plain.of("blue", "ctr").reduction == 0
    with pytest.raises(ExperimentsError, match="pre-period: an outcome at .* is not before"):
        analyse(one, seen, done, done)


def test_a_click_counts_per_request_only_for_the_request_it_was_on() -> None:
    seen = [(f"m{n}", 10, f"r{n}", ("control", "blue")[n % 2]) for n in range(100)]
    one, exposed, done = rows(
        seen,
        [
            ("m1", 20, "click", "r1"),  # its own
            ("m3", 20, "click", None),  # of nobody knows which: the unit's last
            ("m5", 20, "click", "elsewhere"),  # on another page
            ("m7", 5, "click", None),  # before anything was shown
            ("m1", 20, "apply", "elsewhere"),  # of the unit, wherever
            ("stranger", 20, "apply", None),
        ],
    )
    figures = {v.variant: v for v in analyse(one, exposed, done).variants}
    assert figures["blue"].means["ctr"] == 2 / 50
    assert figures["blue"].means["apply"] == 1 / 50
    assert figures["control"].means["ctr"] == 0


def test_an_outcome_belongs_to_the_variant_its_unit_had_at_that_time() -> None:
    seen = [(f"m{n}", 10, f"r{n}", "control") for n in range(50)]
    seen += [(f"m{n}", 30, f"s{n}", "blue") for n in range(50)]
    one, exposed, done = rows(seen, [("m1", 20, "apply", None), ("m2", 40, "apply", None)])
    figures = {v.variant: v for v in analyse(one, exposed, done).variants}
    assert figures["control"].means["apply"] == figures["blue"].means["apply"] == 1 / 50


def test_a_unit_that_fell_back_stays_in_its_arm_and_others_are_left_out() -> None:
    one = experiment({"blue": 50})
    marks = ["", "fallback:timeout", "override", "no unit", "stopped"]
    exposed = traffic.exposures(
        one,
        [
            {
                "unit": f"m{n}",
                "ts": n,
                "variant": "blue",
                "served": "control",
                "reason": marks[n % 5],
            }
            for n in range(50)
        ],
    )
    found = analyse(one, exposed, traffic.outcomes([]))
    blue = next(v for v in found.variants if v.variant == "blue")
    assert (blue.units, blue.requests, blue.means["fallbacks"]) == (20, 20, 0.5)
    assert found.excluded == {"override": 10, "no unit": 10, "stopped": 10}


def test_a_log_that_was_shipped_twice_counts_once() -> None:
    one = experiment({"blue": 50})
    seen, done = simulated(one, 0.2, units=300)
    once, twice = analyse(one, seen, done), analyse(one, pa.concat_tables([seen, seen]), done)
    assert asdict(once)["variants"] == asdict(twice)["variants"]


def lossy(seen: pa.Table, variant: str, share: float) -> pa.Table:
    """The same without some units of a variant."""
    units = seen["unit"].to_pylist()
    lost = np.array([int(unit[1:]) % 100 < 100 * share for unit in units])
    own = np.array([name == variant for name in seen["variant"].to_pylist()])
    return seen.filter(pa.array(~(lost & own)))


def test_units_that_get_lost_spoil_everything_and_the_verdict_says_so() -> None:
    one = experiment({"blue": 50})
    seen, done = simulated(one, 0.4, units=2000)
    found = analyse(one, lossy(seen, "blue", 0.3), done)
    assert found.verdict.startswith(f"Trust no figure: at revision {one.revision} ")
    assert found.epochs[0].p < 0.001


def test_the_split_is_tested_for_each_revision_by_its_own_shares() -> None:
    before, now = experiment({"blue": 10}), experiment({"blue": 50})
    first, done = simulated(before, 0.2, units=2000)
    second, more = simulated(now, 0.2, units=2000, first=20)
    done = pa.concat_tables([done, more])
    sound = analyse(now, pa.concat_tables([first, second]), done)
    assert [e.shares for e in sound.epochs] == [
        {"control": 90.0, "blue": 10.0},
        {"blue": 50.0, "control": 50.0},
    ]
    assert not any(e.mismatch for e in sound.epochs)
    broken = analyse(now, pa.concat_tables([lossy(first, "control", 0.5), second]), done)
    assert {e.revision: e.mismatch for e in broken.epochs} == {
        before.revision: True,
        now.revision: False,
    }


def test_a_variant_that_never_got_as_far_as_the_log_is_a_mismatch() -> None:
    one, now = experiment({"blue": 10}), experiment({"blue": 0})
    seen, done = simulated(one, 0.2, units=2000)
    found = analyse(now, lossy(seen, "blue", 1), done)
    assert found.epochs[0].shares == {"control": 90.0, "(nobody)": 10.0}
    assert found.epochs[0].mismatch


def test_shares_that_nobody_knows_are_not_tested() -> None:
    one, now = experiment({"blue": 10}), experiment({"blue": 20})
    seen, done = simulated(one, 0.2)
    place = seen.column_names.index("percent")
    silent = seen.set_column(place, "percent", pa.nulls(seen.num_rows, pa.float64()))
    assert [e.p for e in analyse(now, silent, done).epochs] == [None]


def test_a_guardrail_comes_before_what_the_metric_shows() -> None:
    one = experiment({"blue": 50}, guardrails=[{"metric": "ctr", "noWorseThan": 20}])
    found = analyse(one, *simulated(one, 0.02))
    assert found.verdict.startswith("blue is to be stopped: clicks per request 0.0")
    assert found.trips[0].variant == "blue"


def test_what_cannot_be_told_yet_is_said() -> None:
    one = experiment({"blue": 50})
    seen, done = simulated(one, 0.2, units=30)
    assert analyse(one, seen, done).verdict.startswith("Nothing can be said yet")
    seen, done = simulated(one, 0.2)
    nobody = analyse(one, seen, done, primary="pch")
    assert (nobody.primary, nobody.verdict[:20]) == ("pch", "Nothing can be said ")
    with pytest.raises(ExperimentsError, match="colours: no unit of it has been exposed yet"):
        analyse(one, seen.slice(0, 0), done)
    with pytest.raises(ExperimentsError, match="has no variant blue"):
        analyse(experiment({"red": 50}), seen, done)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Manifests, exposures and outcomes as they lie on disk."""
    rails = [{"metric": "ctr", "noWorseThan": 20}, {"metric": "errors", "atMost": 0.1}]
    manifest = document({"blue": 50}, guardrails=rails)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/colours.yaml").write_text(yaml.safe_dump(manifest))
    seen, done = simulated(experiment({"blue": 50}, guardrails=rails), 0.3, units=600)
    write_exposures(seen, tmp_path / "exposures/date=2026-01-01/a.parquet")
    write_outcomes(done, tmp_path / "outcomes/a.parquet")
    return tmp_path


def test_the_page_holds_the_verdict_the_tables_and_the_plots(files: Path) -> None:
    found = analyse_files(
        files / "experiments/colours.yaml",
        files / "exposures",
        files / "outcomes",
        html=files / "page.html",
        result=files / "result.json",
    )
    page = (files / "page.html").read_text()
    assert found.verdict.replace("'", "&#39;") in page
    assert page.count("<svg") == 2
    for said in ("clicks per request", found.revision, "Was the split as declared", "Guardrails"):
        assert said in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http-equiv", "")
    read = json.loads((files / "result.json").read_text())
    assert read["verdict"] == found.verdict
    assert read["comparisons"][0]["lift"] == found.comparisons[0].lift


def test_the_kubeflow_step_writes_the_same(files: Path) -> None:
    from components.experiments.component import analyse_experiment

    logged: dict[str, float] = {}
    artifact = lambda name: SimpleNamespace(path=str(files / name))  # noqa: E731
    analyse_experiment.python_func(
        manifest=artifact("experiments/colours.yaml"),
        exposures=artifact("exposures"),
        outcomes=artifact("outcomes"),
        analysis=artifact("result.json"),
        page=artifact("page.html"),
        metrics=SimpleNamespace(log_metric=logged.__setitem__),
    )
    assert "blue is better" in (files / "page.html").read_text()
    assert (
        logged["blue ctr lift"]
        == json.loads((files / "result.json").read_text())["comparisons"][0]["lift"]
    )


def test_experiments_are_listed_ramped_and_stopped_by_name(files: Path) -> None:
    directory = files / "experiments"
    assert list_experiments(directory) == "colours (ranker): control control, blue 50 %"
    (directory / "zzz.yaml").write_text("kind: [")
    assert "refused: " in list_experiments(directory)
    said = status(directory, "colours", files / "exposures", files / "outcomes")
    assert "blue: " in said
    assert "guardrail" not in said
    assert ramp_experiment(directory, "colours", "blue", 60).endswith("blue 60 %")
    assert "STOPPED" in stop_experiment(directory, "colours")


def test_other_experiments_and_services_are_not_mixed_in() -> None:
    one, other = experiment({"blue": 50}), experiment({"blue": 50}, name="shapes")
    seen, done = simulated(one, 0.2, units=300)
    others, _ = simulated(other, 0.2, units=300)
    alone, among = analyse(one, seen, done), analyse(one, pa.concat_tables([others, seen]), done)
    assert alone.variants == among.variants
    assert pc.sum(pc.equal(seen["experiment"], "colours")).as_py() == seen.num_rows
