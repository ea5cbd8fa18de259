"""Changed manifests take effect at once; broken ones leave what was good, and say why."""

import json
import time

import pytest

from components.experiments.experiments import load_experiments
from serving.router.errors import RouterError
from tests.serving.router.conftest import write_manifest, write_upstreams

UNITS = [f"m{number}" for number in range(120)]


def treated(running):
    return {unit for unit in UNITS if running.post(unit=unit).headers["x-intent-served"] == "full"}


def percent(share):
    return [
        {"name": "plain", "inferenceService": "ranker-plain"},
        {"name": "full", "inferenceService": "ranker-full", "percent": share},
    ]


def test_ramping_up_only_adds_units_and_zero_takes_them_from_everybody_at_once(running):
    running.manifest(variants=percent(20))
    some = treated(running)
    running.manifest(variants=percent(60))
    more = treated(running)
    running.manifest(variants=percent(0))
    assert 0 < len(some) < len(more)
    assert some < more
    assert treated(running) == set()


def test_a_file_that_changes_is_noticed(place, start):
    running = start(watch_every=0.05)
    write_manifest(place / "experiments", variants=percent(0))
    for _ in range(600):
        if running.router.status["experiments"]["ranking"]["percent"] == {"full": 0}:
            break
        time.sleep(0.05)
    assert treated(running) == set()


LAYER = {"name": "ranking", "start": 0, "size": 50}
BROKEN = {
    "101 %": ({"variants": percent(101)}, "percent"),
    "no control": ({"control": None}, "control"),
    "unknown control": ({"control": "nobody"}, "control"),
    "0.005 %": ({"variants": percent(0.005)}, "two decimals"),
    "misspelt field": ({"contrl": "plain"}, "contrl"),
    "above its lane": (
        {
            "variants": [
                *percent(10),
                {"name": "x", "inferenceService": "ranker-full", "percent": 60, "limit": 50},
            ]
        },
        "lane",
    ),
    "unit in a header of HTTP": ({"salt": "new", "unit": {"header": "host"}}, "unit.header"),
    "unknown upstream": (
        {"variants": [*percent(50), {"name": "n", "inferenceService": "no-such", "percent": 1}]},
        "not among the upstreams",
    ),
}


@pytest.mark.parametrize(("changes", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_manifest_leaves_its_last_good_version_and_does_not_hide_others(
    place, start, changes, reason
):
    write_manifest(place / "experiments", layer=LAYER)
    running = start()
    before = treated(running)
    write_manifest(place / "experiments", "second", layer=LAYER | {"start": 50})
    running.manifest(layer=LAYER, **changes)
    (rejected,) = running.router.status["rejected"]
    assert rejected["source"].endswith("ranking.yaml")
    assert reason in rejected["reason"]
    assert set(running.router.status["experiments"]) == {"ranking", "second"}
    assert before <= treated(running)
    assert json.loads((place / "state" / "status.json").read_text())["rejected"] == [rejected]


def test_two_experiments_that_claim_one_range_leave_the_one_that_runs(place, start):
    write_manifest(place / "experiments", layer=LAYER)
    running = start()
    running.manifest("aaa", layer=LAYER | {"start": 20})
    (rejected,) = running.router.status["rejected"]
    assert rejected["source"].endswith("aaa.yaml")
    assert "overlaps" in rejected["reason"]
    assert set(running.router.status["experiments"]) == {"ranking"}


def test_the_last_good_version_outlives_the_router(place, start):
    first = start()
    before = treated(first)
    first.stop()
    write_manifest(place / "experiments", variants=percent(101))
    second = start()
    assert treated(second) == before
    assert len(second.router.status["rejected"]) == 1


def test_a_manifest_that_is_gone_ends_its_experiment(place, start):
    running = start()
    (place / "experiments" / "ranking.yaml").unlink()
    running.settle()
    assert running.post().status_code == 404
    assert running.post("encoder").status_code == 200


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ranker-full: {http: nowhere}", "ranker-full.http"),
        ("ranker-full: {http: '127.0.0.1:99999'}", "port"),
        ("ranker-full: {http: '127.0.0.1:9'}", "ranking needs it"),
        ("services: {ranker: ranker-x}", "services.ranker"),
        ("services: {rankers: ranker-x}", "services.rankers"),
        ("[", "cannot be read"),
    ],
)
def test_upstreams_that_cannot_be_used_leave_everything_as_it_was(running, text, reason):
    before = treated(running)
    (running.home / "upstreams.yaml").write_text(text)
    running.settle()
    assert reason in running.router.status["error"]
    assert treated(running) == before


def test_what_nginx_itself_refuses_leaves_everything_as_it_was(running, monkeypatch):
    before = treated(running)
    monkeypatch.setattr(
        "serving.router.router.render", lambda *_, number: f"no_such_word {number};"
    )
    running.manifest(variants=percent(100))
    assert "no_such_word" in running.router.status["error"]
    assert treated(running) == before
    monkeypatch.undo()
    running.manifest(variants=percent(100), timeout=4)
    assert running.router.status["error"] is None
    assert treated(running) == set(UNITS)


def test_an_upstream_that_moves_is_followed(running):
    upstream = running.upstreams["ranker-full"]
    before = treated(running)
    upstream.stop()
    upstream.port = 0
    upstream.start()
    write_upstreams(running.home, running.upstreams)
    running.settle()
    assert treated(running) == before


def test_a_router_with_nothing_to_say_does_not_start(place, start):
    write_manifest(place / "experiments", variants=percent(101))
    (place / "upstreams.yaml").write_text("")
    with pytest.raises(RouterError, match="nothing to route"):
        start()


def test_an_address_in_use_is_refused(place, running, start):
    with pytest.raises(RouterError, match="cannot be listened on"):
        start(listen=running.url.removeprefix("http://"), state=place / "other")


def test_a_state_directory_has_one_router(running, start):
    with pytest.raises(RouterError, match="another router"):
        start()
    assert running.post().status_code == 200


def test_units_keep_their_variant_when_nothing_of_theirs_changes(running):
    before = treated(running)
    running.manifest(timeout=3)
    experiment = load_experiments(running.home / "experiments").by_name["ranking"]
    assert treated(running) == before
    assert running.post().headers["x-intent-revision"] == experiment.revision
