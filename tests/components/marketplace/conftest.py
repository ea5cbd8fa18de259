from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.marketplace.config import MarketplaceConfig
from components.marketplace.generate import generate
from components.marketplace.truth import Truth

IDLE = 30 * 60 * 1_000_000


@pytest.fixture(scope="package")
def config():
    return MarketplaceConfig(
        members=2_048, chunk=512, occupations=24, specialities=4, postings=6_000, workers=1
    )


@pytest.fixture(scope="package")
def market(config, tmp_path_factory):
    """A generated marketplace, its tables as data frames, sessions numbered over all members."""
    home = tmp_path_factory.mktemp("market")
    ingest = generate(config, home / "feed", home / "truth", seed=1)
    tables = {
        path.name: pq.read_table(path).to_pandas()
        for path in (home / "feed").iterdir()
        if path.is_dir()
    }
    actions = tables["actions"].sort_values(["member_id", "ts", "sequence"], ignore_index=True)
    opens = (actions.ts.diff() > IDLE) | (actions.member_id != actions.member_id.shift())
    actions["session"] = np.cumsum(opens)
    return SimpleNamespace(
        feed=home / "feed",
        truth=Truth.open(home / "truth"),
        truth_path=home / "truth",
        ingest=ingest,
        actions=actions,
        impressions=tables["impressions"],
        responses=tables["responses"],
        profiles=tables["profiles"],
        postings=tables["postings"],
    )


@pytest.fixture(scope="package")
def shown(market):
    """Places shown to members who kept one goal: what became of them, and their grades."""
    goals = pq.read_table(market.truth_path / "members").to_pandas().member_id.value_counts()
    steady = set(goals.index[goals == 1])
    pages = market.impressions[market.impressions.member_id.isin(steady)][::3]
    pages = pages.assign(position=[np.arange(len(items)) for items in pages.item_ids])
    places = pages.explode(["item_ids", "outcomes", "position"], ignore_index=True)
    named = market.postings.set_index("item_id")
    company, title = (named[c].reindex(places.item_ids).to_numpy() for c in ("company", "title"))
    texts = [f"c_{c} {t}".lower() for c, t in zip(_one_word(company), title, strict=True)]
    grades = market.truth.grade(places.member_id.tolist(), [[text] for text in texts])[:, 0]
    return places.assign(grade=grades)


def _one_word(names):
    return [name.replace(" ", "_") for name in names]
