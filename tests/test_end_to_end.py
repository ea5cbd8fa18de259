"""The product as a user meets it: one command, a report, suggestions; and again after a crash."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

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


def first_session_row(runs, condition):
    """Return the first row of the run's sessions for which a condition holds."""
    parts = sorted((runs[0] / "latest/sessions/sessions").glob("part-*.parquet"))
    rows = pd.concat([pd.read_parquet(part) for part in parts])
    return rows[condition(rows)].iloc[0]
