"""A replay: what members do depends on what was served, and on nothing else."""

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.experiments.experiments import load_experiments
from components.experiments.exposures import OUTCOME_SCHEMA, read_exposures, read_outcomes
from serving.fortnight.config import FortnightConfig
from serving.fortnight.errors import FortnightError
from serving.fortnight.uses import Uses
from tests.serving.fortnight.conftest import CONFIG


def happened(state, service=None):
    """What members did, without what differs between two runs: times and ids of requests."""
    table = read_outcomes(state / "outcomes" / service if service else state / "outcomes")
    rows = table.select(["unit", "metric", "value"]).to_pylist()
    return sorted((row["unit"], row["metric"], row["value"]) for row in rows)


def count(state, service, metric, units=None):
    return sum(
        value
        for unit, name, value in happened(state, service)
        if name == metric and (units is None or unit in units)
    )


def arms(directory, service, names):
    assigned = load_experiments(directory).assign(service, names)
    return {
        arm: {name for name, own in zip(names, assigned, strict=True) if own.variant == arm}
        for arm in ("bad", "good")
    }


def test_a_seed_decides_everything_but_the_answers(replay, services, tmp_path):
    replay(services, state="one").run()
    replay(services, state="other").run()
    assert happened(tmp_path / "one") == happened(tmp_path / "other")
    changed = CONFIG.model_copy(update={"seed": 2})
    replay(services, state="seed", config=changed).run()
    assert happened(tmp_path / "one") != happened(tmp_path / "seed")


def test_better_answers_win_in_every_use(replay, services, market, experiments, tmp_path):
    replay(services, config=FortnightConfig(days=3, visits=6.0, postings=40, named=60)).run()
    names, state = market.population.member_ids.to_pylist(), tmp_path / "state"
    for service, metric in (
        ("suggestions", "click"),
        ("ranker", "apply"),
        ("audience", "apply"),
        ("candidates", "apply"),
    ):
        own = arms(experiments(), service, names)
        good, bad = (count(state, service, metric, own[arm]) for arm in ("good", "bad"))
        assert good > 1.5 * bad, service


def test_nothing_is_planted_who_gets_which_variant_changes_nothing_by_itself(
    replay, services, tmp_path
):
    """With equal answers in both arms another draw of the arms gives the very same fortnight."""

    def equal(directory):
        return services(directory, good=("good", "bad"))

    replay(equal, state="one", salt="a").run()
    replay(equal, state="other", salt="b").run()
    for service in ("suggestions", "ranker", "candidates"):
        assert happened(tmp_path / "one", service) == happened(tmp_path / "other", service)


def test_a_replay_that_was_cut_short_goes_on_as_if_it_had_not_been(replay, services, tmp_path):
    replay(services, state="whole").run()

    def dies(directory):
        ask, calls = services(directory), []

        def until(service, questions):
            calls.append(service)
            if len(calls) == 6:
                raise KeyboardInterrupt
            return ask(service, questions)

        return until

    with pytest.raises(KeyboardInterrupt):
        replay(dies, state="cut").run()
    assert [path.name for path in (tmp_path / "cut" / "days").iterdir()] == ["day-01"]
    replay(services, state="cut").run()
    assert happened(tmp_path / "cut") == happened(tmp_path / "whole")


def test_more_days_may_be_added_but_other_settings_are_refused(replay, services, tmp_path):
    replay(services).run()
    longer = CONFIG.model_copy(update={"days": 3, "visits": 3.0})
    replay(services, config=longer).run()
    assert (tmp_path / "state" / "days" / "day-03").is_dir()
    with pytest.raises(FortnightError, match="was replayed with postings 10, not 11"):
        replay(services, config=CONFIG.model_copy(update={"postings": 11}))


def test_nobody_applies_twice_nor_to_what_the_feed_says_he_applied_to(
    replay, services, market, tmp_path
):
    replay(services, config=CONFIG.model_copy(update={"visits": 8.0})).run()
    parts = (tmp_path / "state" / "days").glob("*/applications.parquet")
    applied = [
        (row["member"], row["posting"]) for part in parts for row in pq.read_table(part).to_pylist()
    ]
    feed = pq.read_table(market.feed / "actions", filters=pc.field("action") == "APPLY")
    before = {
        (int(row["member_id"][1:]), int(row["item_id"][1:]))
        for row in feed.select(["member_id", "item_id"]).to_pylist()
    }
    assert len(set(applied)) == len(applied) > 0
    assert not before & set(applied)


def test_a_member_is_notified_once_a_day_and_only_of_what_his_own_arm_names(
    services, market, experiments
):
    population, directory, named = market.population, experiments(), {}
    names = population.member_ids.to_pylist()
    ask = services(directory)

    def listened(service, questions):
        replies = ask(service, questions)
        for question, reply in zip(questions, replies, strict=True):
            members = {own["member_id"] for own in reply.prediction["members"]}
            named[reply.variant, question.instance["job"]] = members
        return replies

    told = Uses(population, listened).notifications(
        load_experiments(directory).assign("audience", names),
        fresh=range(60),
        named=200,
        rng=np.random.default_rng(0),
    )
    assert len(named) == 2 * 60
    assert len(set(told.member.tolist())) == len(told.member) > 100
    own = arms(directory, "audience", names)
    for member, (posting,) in zip(told.member, told.postings, strict=True):
        variant = "good" if names[member] in own["good"] else "bad"
        assert names[member] in named[variant, f"j{posting:07d}"]


def test_every_member_of_an_experiment_is_exposed_to_notifications_before_any(
    replay, services, market, tmp_path
):
    replay(services).run()
    exposed = read_exposures(tmp_path / "state" / "exposures")
    assert len(exposed) == CONFIG.days * len(market.population.member_ids)
    outcomes = read_outcomes(tmp_path / "state" / "outcomes" / "audience").to_pylist()
    at = {row["request_id"]: row for row in exposed.to_pylist()}
    assert all(at[row["request_id"]]["unit"] == row["unit"] for row in outcomes)
    assert all(at[row["request_id"]]["ts"] <= row["ts"] for row in outcomes)


def test_outcomes_name_the_request_they_came_from(replay, services, tmp_path):
    replay(services).run()
    for service in ("suggestions", "ranker", "candidates"):
        table = read_outcomes(tmp_path / "state" / "outcomes" / service)
        assert table.schema == OUTCOME_SCHEMA
        parts = (tmp_path / "state" / "days").glob("*/requests.parquet")
        asked = {
            row["request_id"]: row["unit"]
            for part in parts
            for row in pq.read_table(part).to_pylist()
            if row["service"] == service
        }
        assert len(table)
        assert all(asked[row["request_id"]] == row["unit"] for row in table.to_pylist())


def failing(services, share):
    """Every so many requests have no answer, as when a server is away."""

    def make(directory):
        ask = services(directory)

        def some(service, questions):
            replies = ask(service, questions)
            return [
                reply._replace(prediction=None, status=503, request_id="")
                if at % share == 0
                else reply
                for at, reply in enumerate(replies)
            ]

        return some

    return make


def test_who_gets_no_answer_sees_nothing_and_the_others_go_on(replay, services, tmp_path):
    config = CONFIG.model_copy(update={"most_failures": 0.5})
    replay(failing(services, 3), config=config).run()
    replay(services, state="whole").run()
    some, all_ = (count(tmp_path / s, "suggestions", "click") for s in ("state", "whole"))
    assert 0.4 * all_ < some < all_
    assert not set(read_outcomes(tmp_path / "state" / "outcomes")["request_id"].to_pylist()) & {""}


def test_a_replay_stops_when_too_many_requests_fail(replay, services, tmp_path):
    with pytest.raises(
        FortnightError, match=r"day 1: \d+ of \d+ requests failed .status 503.*logs"
    ):
        replay(failing(services, 3)).run()
    assert not (tmp_path / "state" / "days").exists()
