"""The product as a user meets it: one command, a report, suggestions; and again after a crash."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pandas as pd
import pytest

RECIPE = Path(__file__).parent / "tiny.yaml"
METHODS = {
    "popular",
    "repeat",
    "co-occurrence",
    "fastText+Slice",
    "BERT_PT+Slice",
    "BERT_FT+Slice",
    "BERT+e2e",
    "fastText+e2e",
    "CNN+e2e",
    "ACG",
    "MNSRF",
    "CARS",
    "LostNet",
}
RANKERS = {
    "as shown",
    "LambdaMART",
    "TF-Ranking",
    "TF-Ranking + vector",
    "no history",
    "no history + vector",
}
RANKS = (["1"], ["2"], ["3"])


def intent(*arguments, folder):
    command = [sys.executable, "-m", "pipelines.command", *arguments, "--runs", str(folder)]
    # Threads of work this small would only wait for each other.
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=settings
    )


def finished(process):
    shown, told = process.communicate(timeout=600)
    assert process.returncode == 0, told
    return shown


def steps(folder):
    """Map each finished step of the only run to its execution."""
    (ledger,) = folder.glob("tiny-*/steps.json")
    return {step["step"]: step["stamp"] for step in json.loads(ledger.read_text())["steps"]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run that was killed in pre-training and continued to its end."""
    folder = tmp_path_factory.mktemp("runs")
    process = intent("run", "--recipe", str(RECIPE), folder=folder)
    while not list(folder.glob("tiny-*/checkpoints/pretrain/checkpoint.pt")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.kill()
    process.communicate()
    before = steps(folder)
    shown = finished(intent("run", "--recipe", str(RECIPE), "--resume", folder=folder))
    return folder, before, shown


def test_a_killed_run_continues_with_the_steps_and_the_checkpoint_it_had(runs):
    folder, before, shown = runs
    assert {"ingest", "tokens"} <= set(before)
    assert "pretrain" not in before
    assert before.items() <= steps(folder).items()
    assert "kept" in shown
    assert "resumed step=" in (folder / "latest" / "log.txt").read_text()
    assert not list((folder / "latest" / "checkpoints").rglob("checkpoint.pt"))


def test_the_report_has_the_tables_that_other_tools_rely_on(runs):
    report = json.loads((runs[0] / "latest" / "report.json").read_text())
    assert report["recipe"] == "tiny"
    rows = report["tables"]["query_recommendation"]
    assert {row["method"] for row in rows} == METHODS
    assert {"D1", "D1-new", "D2"} <= {row["dataset"] for row in rows}
    for row in rows:
        assert {"p@1", "p@3", "p@5", "ss@1", "coverage", "repeats"} <= set(row)
        assert all(0 <= row[f"p@{k}"] <= 1 for k in (1, 3, 5))
    assert report["tables"]["sessions"]


def test_repeating_oneself_is_right_on_d2_and_worth_nothing_on_d1_new(runs):
    report = json.loads((runs[0] / "latest" / "report.json").read_text())
    repeat = {
        row["dataset"]: row["p@1"]
        for row in report["tables"]["query_recommendation"]
        if row["method"] == "repeat"
    }
    assert repeat["D2"] > 0.7
    assert repeat["D1-new"] == 0


def test_the_page_shows_the_tables_and_its_plots(runs):
    page = (runs[0] / "latest" / "report.html").read_text()
    assert "BERT_FT+Slice" in page
    assert page.count("<svg") >= 3


def test_report_prints_suggestions_and_tables(runs):
    shown = finished(intent("report", folder=runs[0]))
    assert "Suggested searches" in shown
    assert "D1-new" in shown
    assert "report.html" in shown


def test_a_member_gets_new_searches_on_one_surface_and_may_get_old_ones_on_the_other(runs):
    trails = json.loads((runs[0] / "latest/evaluate/measured/trails.json").read_text())
    member = max(trails, key=lambda trail: len(trail["past"]))["member"]
    explore = finished(intent("suggest", "--member", member, "-k", "20", folder=runs[0]))
    anything = finished(
        intent("suggest", "--member", member, "--surface", "any", "-k", "20", folder=runs[0])
    )
    assert "done before" not in explore
    assert "done before" in anything


def test_a_visitor_with_two_actions_gets_suggestions(runs, tmp_path):
    actions = tmp_path / "visitor.csv"
    actions.write_text("action,query,title\nJOB_SEARCH,engineer,\nVIEW,,senior engineer\n")
    shown = finished(intent("suggest", "--actions", str(actions), "-k", "3", folder=runs[0]))
    assert "JOB_SEARCH engineer" in shown
    assert len(shown.partition("Suggested searches")[2].strip().splitlines()) == 3


def test_the_report_says_how_the_uses_fare(runs):
    tables = json.loads((runs[0] / "latest" / "report.json").read_text())["tables"]
    assert {row["method"] for row in tables["ranking"]} == RANKERS
    for row in tables["ranking"]:
        assert all(0 <= row[figure] <= 1 for figure in ("ndcg@25", "auc", "mrr"))
        assert row["auc_low"] <= row["auc"] <= row["auc_high"]
    audiences = {row["method"]: row for row in tables["audience"]}
    exact, expanded = audiences["exact match"], audiences["exact match + mean"]
    assert expanded["recall"] >= exact["recall"]
    assert expanded["liquidity"] >= exact["liquidity"]
    assert {row["index"] for row in tables["neighbours"]} == {"exact", "hnsw", "clusters"}
    page = (runs[0] / "latest" / "report.html").read_text()
    assert "Job-search ranking" in page
    assert "Audience expansion" in page


def test_the_report_compares_candidate_selection_with_its_baseline(runs):
    tables = json.loads((runs[0] / "latest" / "report.json").read_text())["tables"]
    variants = {row["method"]: row for row in tables["candidates"]}
    assert {"baseline", "entities alone", "baseline + BERT_FT entities + SANNS"} <= set(variants)
    for row in variants.values():
        assert row["auc_low"] <= row["auc"] <= row["auc_high"]
        assert 0 <= row["f1"] <= 1
    assert "baseline" in {row["against"] for row in tables["candidates_differences"]}


def test_the_report_ranks_news_by_every_combination_of_vectors(runs):
    tables = json.loads((runs[0] / "latest" / "report.json").read_text())["tables"]
    combinations = {row["combination"]: row for row in tables["mind"]}
    assert {"u*v", "u,v,u*v", "u,v,|u-v|"} <= set(combinations)
    for row in combinations.values():
        assert all(0 <= row[figure] <= 1 for figure in ("auc", "mrr", "ndcg@5", "ndcg@10"))


def test_a_member_gets_candidates_by_clauses_that_are_explained(runs):
    member = first_session_row(runs, lambda rows: rows["action"] == "APPLY")["member_id"]
    shown = finished(intent("candidates", "--member", member, "-k", "3", folder=runs[0]))
    assert "titleId:" in shown
    ranked = [line.split()[0] for line in shown.splitlines() if line.split()[:1] in RANKS]
    assert ranked == ["1", "2", "3"]
    nobody = finished(intent("candidates", "--member", "nobody", folder=runs[0]))
    assert "nothing is known" in nobody


def test_a_search_is_ranked_for_a_member_and_for_somebody_unknown(runs):
    searched = first_session_row(runs, lambda rows: rows["query"].notna())
    known = finished(intent("rank", "--member", searched["member_id"], "-k", "3", folder=runs[0]))
    assert "cold: the place without the member's activity vector" in known
    cold = finished(intent("rank", "--query", searched["query"], "-k", "3", folder=runs[0]))
    assert "activity vector" not in cold
    ranked = [line.split()[0] for line in cold.splitlines() if line.split()[:1] in RANKS]
    assert ranked == ["1", "2", "3"]


def test_given_postings_are_ranked_and_a_removed_one_is_named(runs):
    rank = ("rank", "--query", "engineer", "--item")
    shown = finished(intent(*rank, "j0000001", "--item", "j0000002", folder=runs[0]))
    assert "j0000001" in shown
    assert "j0000002" in shown
    process = intent(*rank, "gone", folder=runs[0])
    assert "no posting gone" in process.communicate(timeout=600)[1]
    assert process.returncode == 1


def test_a_posting_gets_its_audience_and_a_member_those_alike(runs):
    applied = first_session_row(runs, lambda rows: rows["action"] == "APPLY")
    shown = finished(intent("audience", "--job", applied["item_id"], folder=runs[0]))
    assert "members to notify" in shown
    assert "applied once" in shown
    alike = finished(
        intent("audience", "--member", applied["member_id"], "-k", "3", folder=runs[0])
    )
    assert alike.count("m0000") == 4


@pytest.fixture(scope="module")
def served(runs):
    """What the run trained, served; the address of the router."""
    ports = [free_port(), free_port()]
    options = ("--port", str(ports[0]), "--grpc-port", str(ports[1]))
    shown = finished(intent("serve", *options, folder=runs[0]))
    address = f"http://127.0.0.1:{ports[0]}"
    assert address in shown
    yield address
    assert "stopped router and models" in finished(intent("serve", "--down", folder=runs[0]))


def asked(address, service, member, **instance):
    """Ask the router for one prediction; return it and the variant that made it."""
    answer = httpx.post(
        f"{address}/v1/models/{service}:predict",
        json={"instances": [instance]},
        headers={"x-member-id": member},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"][0], answer.headers["x-intent-variant"]


def test_every_service_answers_through_the_router(runs, served):
    applied = first_session_row(runs, lambda rows: rows["action"] == "APPLY")
    member = applied["member_id"]
    suggested, _ = asked(served, "suggestions", member, member_id=member)
    assert suggested["source"] == "store"
    assert suggested["suggestions"]
    visitor, _ = asked(served, "suggestions", member, actions=[{"action": "VIEW", "title": "cook"}])
    assert visitor["source"] == "encoder"
    items = ["j0000001", "j0000002", applied["item_id"]]
    ranked, _ = asked(served, "ranker", member, member_id=member, query="engineer", items=items)
    assert sorted(ranked["ranked"]) == sorted(items)
    reached, _ = asked(served, "audience", member, job=applied["item_id"])
    assert member in {one["member_id"] for one in reached["members"]}
    recommended, _ = asked(served, "candidates", member, member_id=member, k=3)
    assert len(recommended["candidates"]) == 3
    embedded, _ = asked(served, "encoder", member, text="engineer")
    assert len(embedded["vector"]) == 16 * 1


def test_a_ramp_moves_its_share_of_members_and_each_stays_where_it_is(runs, served):
    members = [f"member{number}" for number in range(200)]

    def variants():
        return [asked(served, "encoder", m, text="cook")[1] for m in members[:1]] + [
            asked(served, "suggestions", m, member_id=m)[1] for m in members
        ]

    assert set(variants()[1:]) == {"fasttext"}
    finished(intent("experiment", "ramp", "suggestions", "finetuned", "30", folder=runs[0]))
    until(lambda: "finetuned" in variants()[1:])
    ramped = variants()
    assert 30 < ramped.count("finetuned") < 90
    assert variants() == ramped
    finished(intent("experiment", "stop", "suggestions", folder=runs[0]))
    until(lambda: "finetuned" not in variants()[1:])
    until(lambda: "requests" in status(runs, "suggestions"))
    assert "STOPPED" in status(runs, "suggestions")


def test_the_store_holds_every_member_and_forgets_one_that_is_deleted(runs, served):
    member = first_session_row(runs, lambda rows: rows["query"].notna())["member_id"]
    assert "explore:" in finished(intent("store", "get", member, folder=runs[0]))
    assert "current" in finished(intent("store", "status", folder=runs[0]))
    finished(intent("store", "delete", member, folder=runs[0]))
    gone = intent("store", "get", member, folder=runs[0])
    assert f"holds no member '{member}'" in gone.communicate(timeout=60)[1]
    answer, _ = asked(served, "suggestions", member, member_id=member)
    assert answer == {"suggestions": [], "source": "none"}
    assert "1 members deleted" in finished(intent("store", "status", folder=runs[0]))
    finished(intent("store", "push", folder=runs[0]))
    assert intent("store", "get", member, folder=runs[0]).wait(60) == 1
    assert "version 1, current" in finished(intent("store", "rollback", folder=runs[0]))


def test_every_variant_is_registered_with_what_it_was_made_from(runs):
    shown = finished(intent("variant", "list", "ranker-full-vector", folder=runs[0]))
    assert "auc" in shown
    (record,) = (runs[0] / "registry/variants/ranker-full-vector").glob("????????????????.json")
    registered = json.loads(record.read_text())
    assert registered["lineage"]["recipe"] == "tiny"
    assert Path(registered["uri"].removeprefix("file://"), "variant.json").exists()
    experiments = finished(intent("experiment", "list", folder=runs[0]))
    assert "ranker (ranker): control no-history, no-history-vector 0 %" in experiments


def test_a_fortnight_puts_table_7_into_the_report(runs):
    shown = finished(intent("fortnight", "--days", "1", "--visits", "1", folder=runs[0]))
    assert "report.html" in shown
    tables = json.loads((runs[0] / "latest" / "report.json").read_text())["tables"]
    uses = {row["use"] for row in tables["online"]}
    assert {"Query recommendation", "Candidate selection"} <= uses
    assert {row["method"] for row in tables["query_recommendation"]} == METHODS
    assert "Simulated A/B tests" in (runs[0] / "latest" / "report.html").read_text()


def status(runs, name):
    return finished(intent("experiment", "status", name, folder=runs[0]))


def until(condition, seconds=30):
    """Wait for a condition; fail when it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def first_session_row(runs, condition):
    """Return the first row of the run's sessions for which a condition holds."""
    parts = sorted((runs[0] / "latest/sessions/sessions").glob("part-*.parquet"))
    rows = pd.concat([pd.read_parquet(part) for part in parts])
    return rows[condition(rows)].iloc[0]
