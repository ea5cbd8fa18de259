"""The loop, closed: a real router, its guard, a replay, and what the analysis makes of it.

Behind the router stand stand-ins for model servers that know the truth about a share of members,
which is what makes one variant better than another here.
"""

import json
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from rich.console import Console

from components.evaluation.online_section import online_section
from components.experiments.experiments import load_experiments
from serving.fortnight.config import FortnightConfig
from serving.fortnight.errors import FortnightError
from serving.fortnight.findings import find
from serving.fortnight.report import rows_of
from serving.fortnight.stage import MANIFESTS, Market, analysed, replay, staged
from serving.fortnight.table import print_table
from tests.serving.fortnight.conftest import SEED, Services, free_port, market_config

KNOWS = {
    "suggestions-fasttext": 0.5,
    "suggestions-finetuned": 1.0,
    "suggestions-broken": 0.0,
    "ranker-no-history": 0.0,
    "ranker-no-history-vector": 0.8,
    "ranker-full": 1.0,
    "audience-exact": 0.1,
    "audience-expanded": 1.0,
    "candidates-baseline": 0.3,
    "candidates-fasttext": 0.7,
    "candidates-finetuned": 1.0,
}
CONFIG = FortnightConfig(days=4, visits=8.0, postings=20, named=80, concurrency=2)
# Few members: the broken variant gets more of them, and is judged by fewer requests.
SMALLER = {
    "minimumExposures: 300": "minimumExposures: 60",
    "start: 0, size: 60": "start: 0, size: 40",
    "start: 60, size: 20": "start: 40, size: 20",
    "start: 80, size: 20": "start: 60, size: 40",
}


class Models(ThreadingHTTPServer):
    """Stands in for all model servers at once; the router says which model is meant."""

    daemon_threads = True
    answers: Services


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        (asked,) = body["instances"]
        service = self.path.rpartition("/")[2].removesuffix(":predict")
        row = int(str(asked.get("member_id") or asked["job"])[1:])
        known = np.random.default_rng([row, 7]).random() < KNOWS[self.headers["x-intent-model"]]
        said = getattr(self.server.answers, service)(asked, known)
        content = json.dumps({"predictions": [said]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def fortnight(market, tmp_path_factory):
    """A fortnight that was replayed against a real router with a guard that looks often."""
    state = tmp_path_factory.mktemp("fortnight")
    experiments = state / "experiments"
    experiments.mkdir()
    for manifest in MANIFESTS.glob("*.yaml"):
        text = manifest.read_text()
        for large, small in SMALLER.items():
            text = text.replace(large, small)
        (experiments / manifest.name).write_text(text)
    models = Models(("127.0.0.1", 0), _Handler)
    models.answers = Services(market.population, experiments)
    threading.Thread(target=models.serve_forever, daemon=True).start()
    upstream = {"http": f"127.0.0.1:{models.server_port}"}
    (state / "upstreams.yaml").write_text(yaml.safe_dump(dict.fromkeys(KNOWS, upstream)))
    address = f"127.0.0.1:{free_port()}"
    outcomes = state / "outcomes"
    outcomes.mkdir()
    router = subprocess.Popen(
        [sys.executable, "-m", "serving.router", "--experiments", str(experiments)]
        + ["--upstreams", str(state / "upstreams.yaml"), "--state", str(state / "router")]
        + ["--listen", address, "--outcomes", str(outcomes), "--guard-every", "0.5"],
        stderr=(state / "router.log").open("wb"),
    )
    truth = Market(
        "run-1",
        market_config(),
        SEED,
        feed=market.feed,
        truth=market.truth,
        features=state / "none",
        hires=state / "none",
    )
    url = f"http://{address}"
    try:
        _wait(f"{url}/healthz", router, state / "router.log")
        first = CONFIG.model_copy(update={"days": 3, "visits": 6.0})
        replay(truth, url, experiments=experiments, state=state, config=first)
        _until_stopped(state)
        replay(truth, url, experiments=experiments, state=state, config=CONFIG)
        findings = analysed(truth, experiments=experiments, state=state)
    finally:
        router.terminate()
        router.wait(30)
        models.shutdown()
        models.server_close()
    return SimpleNamespace(state=state, experiments=experiments, findings=findings, truth=truth)


def _wait(url, process, log):
    for _ in range(300):
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def _until_stopped(state):
    """Wait until the guard has acted and the router has taken it up."""
    for _ in range(600):
        status = json.loads((state / "router" / "status.json").read_text())
        if status["experiments"]["suggestions-broken"]["percent"]["broken"] == 0:
            return
        time.sleep(0.1)
    raise AssertionError("the guard never stopped the broken variant")


def analysis(fortnight, name):
    return next(own for own in fortnight.findings.analyses if own.experiment == name)


def test_the_manifests_of_the_fortnight_hold_together():
    loaded = load_experiments(MANIFESTS)
    assert not loaded.rejected
    assert len(loaded) == 6


def test_better_models_win(fortnight):
    better = {
        "suggestions-vectors": [("finetuned", "ctr")],
        "ranker-history": [("no-history-vector", "ctr"), ("full", "ctr"), ("full", "apply")],
        "audience-expansion": [("expanded", "ctr"), ("expanded", "apply")],
        "candidates-entities": [("fasttext", "ctr"), ("finetuned", "ctr"), ("finetuned", "apply")],
    }
    for name, lifts in better.items():
        for variant, metric in lifts:
            assert analysis(fortnight, name).of(variant, metric).low > 0, (name, variant, metric)


def test_an_a_a_test_finds_nothing(fortnight):
    found = analysis(fortnight, "suggestions-aa")
    assert "is better" not in found.verdict
    assert "is worse" not in found.verdict
    for metric in ("ctr", "apply"):
        comparison = found.of("same", metric)
        assert comparison.always_low < 0 < comparison.always_high


def test_a_broken_variant_is_taken_to_nothing_while_the_replay_goes_on(fortnight):
    manifest = load_experiments(fortnight.experiments).by_name["suggestions-broken"]
    assert manifest.by_name["broken"].percent == 0
    (stopped,) = fortnight.findings.stopped
    assert stopped.variant == "broken"
    assert stopped.by_day[0] > 0
    assert stopped.by_day[-1] == 0
    assert analysis(fortnight, "suggestions-broken").of("broken", "ctr").high < 0


def test_the_split_is_as_declared_in_every_epoch(fortnight):
    for found in fortnight.findings.analyses:
        assert not any(epoch.mismatch for epoch in found.epochs), found.experiment


def test_table_7_has_the_four_uses_beside_the_papers_figures(fortnight):
    rows = [(row.analysis.service, row.variant) for row in fortnight.findings.rows()]
    assert rows == [
        ("suggestions", "finetuned"),
        ("ranker", "no-history-vector"),
        ("ranker", "full"),
        ("audience", "expanded"),
        ("candidates", "fasttext"),
        ("candidates", "finetuned"),
    ]
    console = Console(record=True)
    print_table(fortnight.findings, console)
    text = console.export_text()
    for said in ("Query recommendation", "+1.35", "+0.82", "+1.46", "+1.50", "+0.43", "+1.45"):
        assert said in text
    for said in ("Candidate selection", "+1.34", "+0.93"):
        assert said in text
    assert "broken is at 0 % now" in text


def test_a_report_shows_table_7_as_the_fortnight_found_it(fortnight):
    rows = rows_of(fortnight.findings)
    lifts = {row["treatment"]: row["clicks"] for row in rows if row["use"] == "Notifications"}
    assert (
        lifts["expanded"]
        == 100 * analysis(fortnight, "audience-expansion").of("expanded", "ctr").lift
    )
    (table,) = online_section({"online": rows}).tables
    assert len(table.rows) == len(rows) == 6


def test_the_pages_stand_alone_and_lead_to_every_experiment(fortnight):
    home = fortnight.state / "table-7"
    page = (home / "index.html").read_text()
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    for found in fortnight.findings.analyses:
        assert f'href="{found.experiment}.html"' in page
        assert (home / f"{found.experiment}.html").is_file()
    kept = json.loads((home / "table-7.json").read_text())
    assert kept["days"] == CONFIG.days
    assert kept["requests"] == fortnight.findings.requests


def test_requests_that_the_router_has_no_exposure_of_are_not_passed_over(fortnight, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    for name in ("days", "outcomes", "exposures"):
        (state / name).symlink_to(fortnight.state / name)
    (state / "router").mkdir()
    with pytest.raises(FortnightError, match=r"no exposure of \d+ of the replay's"):
        find(list(load_experiments(fortnight.experiments)), state=state, feed=fortnight.truth.feed)


def test_a_fortnight_that_is_done_is_not_served_again(fortnight):
    before = (fortnight.state / "table-7" / "index.html").stat().st_ino
    findings = staged(
        fortnight.truth,
        variants=[],
        store="lmdb:none",
        state=fortnight.state,
        config=CONFIG,
        ports=(0, 0),
    )
    assert findings.requests == fortnight.findings.requests
    assert (fortnight.state / "table-7" / "index.html").stat().st_ino != before


def test_another_run_does_not_go_on_with_the_fortnight_of_one(fortnight):
    other = fortnight.truth._replace(run="run-2")
    with pytest.raises(FortnightError, match="was replayed with run run-1, not run-2"):
        replay(
            other,
            "http://127.0.0.1:1",
            experiments=fortnight.experiments,
            state=fortnight.state,
            config=CONFIG,
        )


def test_a_variant_that_an_experiment_names_has_to_be_there(fortnight, tmp_path):
    with pytest.raises(
        FortnightError, match=r"no package of .*suggestions-fasttext.*there is none"
    ):
        staged(
            fortnight.truth,
            variants=[],
            store="lmdb:none",
            state=tmp_path,
            config=CONFIG,
            ports=(0, 0),
        )


def test_only_a_run_of_the_generated_marketplace_has_members_to_replay(tmp_path):
    with pytest.raises(FortnightError, match=r"recipe.yaml: missing"):
        Market.of_run(tmp_path)
    (tmp_path / "recipe.yaml").write_text("seed: 1\nsource: {kind: shopping}\n")
    with pytest.raises(FortnightError, match="not the generated marketplace"):
        Market.of_run(tmp_path)
    source = {"kind": "jobs", "members": 10}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"seed": 4, "source": source}))
    assert (Market.of_run(tmp_path).seed, Market.of_run(tmp_path).config.members) == (4, 10)


def test_nothing_replayed_is_said_so(fortnight, tmp_path):
    with pytest.raises(FortnightError, match="no day of a replay is done"):
        find([], state=tmp_path, feed=fortnight.truth.feed)
