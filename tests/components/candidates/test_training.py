"""The whole study: what is written, what is left out."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.candidates.candidates import Candidates
from components.candidates.errors import CandidatesError
from components.candidates.training import BASELINE, SERVED, VARIANTS, train_candidates
from tests.components.candidates.conftest import CONFIG


def test_every_variant_is_measured_on_the_same_pairs(run):
    rows = run.measured["rows"]
    assert [row["method"] for row in rows] == list(VARIANTS)
    assert len({(row["pairs"], row["applied"], row["members"]) for row in rows}) == 1
    for row in rows:
        assert row["auc_low"] <= row["auc"] <= row["auc_high"]
        assert row["recall_100"] <= row["recall_500"] <= 1
        assert row["auc"] > 0.5
    assert json.loads((run.model / "measured.json").read_text()) == run.measured


def test_published_figures_stand_beside_the_rows_of_table_6(run):
    published = [row["method"] for row in run.measured["rows"] if row["published_auc_percent"]]
    assert len(published) == 3
    for row in run.measured["differences"]:
        assert (row["published"] is not None) == (
            row["method"] in published and row["against"] == BASELINE
        )


def test_the_same_seed_measures_and_writes_the_same(run, tmp_path):
    assert train_candidates(run.inputs, tmp_path / "again", CONFIG, seed=1) == run.measured
    for name in SERVED:
        for path in (run.model / name).iterdir():
            again = tmp_path / "again" / name / path.name
            assert again.read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("missing", ["postings", "impressions"])
def test_a_source_without_postings_or_pages_has_no_candidates(run, tmp_path, missing):
    shutil.copytree(run.inputs.feed, tmp_path / "feed")
    shutil.rmtree(tmp_path / "feed" / missing)
    inputs = run.without(feed=tmp_path / "feed")
    assert train_candidates(inputs, tmp_path / "candidates", CONFIG, seed=1) == {}
    assert not any((tmp_path / "candidates").iterdir())
    with pytest.raises(CandidatesError, match="this run has no candidates"):
        Candidates.open(tmp_path / "candidates" / "baseline")


def test_where_nobody_applies_there_is_nothing_to_learn(run, tmp_path):
    config = CONFIG.model_copy(update={"applied": ("BUY",)})
    assert train_candidates(run.inputs, tmp_path / "candidates", config, seed=1) == {}


def test_a_catalogue_without_skills_and_with_blank_titles_will_do(run, tmp_path):
    shutil.copytree(run.inputs.feed, tmp_path / "feed")
    for path in (tmp_path / "feed" / "postings").glob("*.parquet"):
        table = pq.read_table(path).select(["item_id", "title"])
        titles = np.where(np.arange(len(table)) % 10 == 0, None, table["title"].to_pylist())
        table = table.set_column(1, "title", pa.array(titles, pa.string()))
        pq.write_table(pa.concat_tables([table, table.slice(0, 3)]), path)
    shutil.rmtree(tmp_path / "feed" / "profiles")
    inputs = run.without(feed=tmp_path / "feed")
    measured = train_candidates(inputs, tmp_path / "candidates", CONFIG, seed=1)
    assert measured["rows"]
    found = Candidates.open(tmp_path / "candidates" / "finetuned").select(None, k=5)
    assert len(found.candidates) == 5
