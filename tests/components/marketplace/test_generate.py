"""The feed: the same for a seed, whole or absent, and shaped as the other rooms expect."""

import hashlib
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from components.activity.schema import ACTION_SCHEMA
from components.marketplace import generate as room
from components.marketplace.config import MarketplaceConfig
from components.marketplace.generate import generate

SMALL = {"occupations": 8, "specialities": 2, "postings": 300, "companies": 32, "chunk": 40}


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def small_market(home, *, seed=5, members=100, **sizes):
    config = MarketplaceConfig(**{**SMALL, "workers": 1, **sizes}, members=members)
    generate(config, home / "feed", home / "truth", seed=seed)
    return digests(home)


def test_a_seed_gives_the_same_bytes_with_any_number_of_workers(tmp_path):
    alone = small_market(tmp_path / "alone", workers=1)
    together = small_market(tmp_path / "together", workers=2)
    assert alone == together
    assert len([name for name in alone if name.startswith("feed/actions/")]) == 3


def test_another_seed_gives_other_members(tmp_path):
    one, other = small_market(tmp_path / "one"), small_market(tmp_path / "other", seed=6)
    first = "feed/actions/part-00000.parquet"
    assert one[first] != other[first]


def test_more_members_leave_the_first_ones_as_they_were(tmp_path):
    few, many = small_market(tmp_path / "few", members=80), small_market(tmp_path / "many")
    for part in ("part-00000.parquet", "part-00001.parquet"):
        for table in ("feed/actions", "feed/impressions", "truth/members"):
            assert few[f"{table}/{part}"] == many[f"{table}/{part}"]


def test_a_run_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    before = small_market(tmp_path)

    def full_disk(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(room, "write_chunk", full_disk)
    with pytest.raises(OSError, match="No space left"):
        small_market(tmp_path, seed=6)
    assert digests(tmp_path) == before


def test_the_actions_have_the_columns_that_every_source_writes(market):
    for part in (market.feed / "actions").iterdir():
        written = pq.read_schema(part)
        assert written.names == ACTION_SCHEMA.names
        assert written.types == ACTION_SCHEMA.types


def test_a_search_has_a_query_and_every_other_action_a_posting(market):
    actions = market.actions
    searches = actions.action == "JOB_SEARCH"
    assert (actions["query"].notna() == searches).all()
    for column in ("company", "title", "item_id"):
        assert (actions[column].notna() == ~searches).all()
    assert set(actions.channel[searches]) == {"search"}


def test_an_item_is_one_posting_in_every_table(market):
    named = market.postings.set_index("item_id")
    for table in (market.actions.dropna(subset=["item_id"]), market.responses):
        assert (table.title.to_numpy() == named.title.reindex(table.item_id)).all()
        assert (table.company.to_numpy() == named.company.reindex(table.item_id)).all()
    assert not market.postings.duplicated(["company", "title"]).any()


def test_the_summary_counts_what_was_written(market, config):
    assert json.loads((market.feed / "ingest.json").read_text()) == market.ingest
    assert market.ingest["actions"] == len(market.actions)
    assert market.ingest["impressions"] == len(market.impressions)
    assert market.ingest["responses"] == len(market.responses)
    assert market.ingest["first_ts"] == market.actions.ts.min()
    assert market.ingest["last_ts"] == market.actions.ts.max()
    assert market.actions.member_id.nunique() == config.members == len(market.profiles)


def test_everything_happens_within_the_period(market, config):
    begin = np.datetime64(config.start, "us").astype(int)
    assert market.actions.ts.min() >= begin
    assert market.actions.ts.max() <= begin + config.days * 86_400_000_000


def test_views_can_be_split_into_short_and_long_ones(tmp_path):
    small_market(tmp_path, micro_views=True)
    counts = pq.read_table(tmp_path / "feed/actions").to_pandas().action.value_counts()
    assert "VIEW" not in counts
    assert counts["SHORT_VIEW"] > 0
    assert counts["LONG_VIEW"] > 0


@pytest.mark.parametrize(
    ("sizes", "complaint"),
    [
        ({"occupations": 300, "postings": 200}, "postings .200. must not be fewer"),
        ({"days": 30, "most_sessions": 2_000}, "do not fit into days"),
        ({"sessions_per_member": 20, "most_sessions": 30}, "at least twice"),
        ({"memebrs": 10}, "memebrs"),
        ({"kind": "shopping"}, "kind"),
    ],
)
def test_impossible_sizes_are_refused_by_name(sizes, complaint):
    with pytest.raises(ValidationError, match=complaint):
        MarketplaceConfig(**sizes)
