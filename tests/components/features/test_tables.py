"""Feature tables: what is counted, what must not be, and what a pair's features are."""

import math
import shutil

import numpy as np
import pytest

from components.activity.split import TRAIN
from components.features import tables as tables_module
from components.features.config import FeaturesConfig
from components.features.errors import FeaturesError
from components.features.specification import CATEGORICAL, CONTINUOUS, NEVER
from components.features.tables import FeatureTables, build_tables, has_tables
from tests.components.features.feed import DAY, MINUTE, NURSE, Feed


def features(tables, member, item, query=None, ts=10 * DAY):
    found = tables.pairs(
        tables.member_rows([member]), tables.posting_rows([item]), [query], np.array([ts])
    )
    named = dict(zip(tables.continuous, found.continuous[0].tolist(), strict=True))
    codes = [name for name, _ in tables.categorical]
    return named | dict(zip(codes, found.categorical[0].tolist(), strict=True))


def everything(tables, members=("ann", "bob", "cat", "nobody")):
    """Features of some members with all postings and a query, as one array."""
    items = ["j1", "j2", "j3", "unheard of"]
    rows = tables.member_rows([member for member in members for _ in items])
    postings = tables.posting_rows(items * len(members))
    found = tables.pairs(rows, postings, ["nurse"] * len(rows), np.full(len(rows), 10 * DAY))
    return np.concatenate([found.continuous, found.categorical], axis=1)


def test_there_are_over_a_hundred_features_each_with_a_name_of_its_own():
    names = [feature.name for feature in (*CONTINUOUS, *CATEGORICAL)]
    assert len(names) > 100
    assert len(set(names)) == len(names)
    assert all(feature.meaning for feature in (*CONTINUOUS, *CATEGORICAL))
    assert not [name for name in names if "position" in name]


def test_every_listed_feature_is_computed_and_finite(tables):
    assert np.isfinite(everything(tables)).all()
    assert tables.continuous == [feature.name for feature in CONTINUOUS]


def test_codes_are_below_the_number_of_codes(tables):
    codes = everything(tables)[:, len(CONTINUOUS) :]
    assert (codes >= 0).all()
    assert (codes < [size for _, size in tables.categorical]).all()


@pytest.mark.parametrize("member", ["ann", "bob", "cat"])
def test_what_a_member_does_after_the_cut_is_in_no_feature_at_all(feed, tables, build, member):
    for page in feed.pages:
        if page["member_id"] == member and page["ts"] > feed.splits[member][1] * DAY:
            page["outcomes"] = ["DISMISS"] * len(page["outcomes"])
            page["item_ids"] = page["item_ids"][::-1]
            page["query"] = "another query" if page["query"] else None
    np.testing.assert_array_equal(everything(build(feed)), everything(tables))


@pytest.mark.parametrize("member", ["bob", "cat"])
def test_members_who_do_not_train_change_nothing_for_others(feed, tables, build, member):
    others = [name for name in ("ann", "bob", "cat", "nobody") if name != member]
    for page in feed.pages:
        if page["member_id"] == member:
            page["outcomes"] = ["APPLY"] * len(page["outcomes"])
            page["query"] = "nurse"
    np.testing.assert_array_equal(everything(build(feed), others), everything(tables, others))


def test_a_training_members_context_counts_for_others(tables):
    found = features(tables, "bob", "j1")
    assert found["posting_log_shown"] == pytest.approx(math.log(2))
    assert found["posting_log_applied"] == pytest.approx(math.log(2))


def test_a_rate_leaves_out_what_the_member_at_hand_did(feed, build):
    feed.member("dan", TRAIN, [(None, {"j1": "", "j2": "VIEW"})])
    tables = build(feed)
    assert features(tables, "ann", "j1")["posting_log_shown"] == pytest.approx(math.log(2))
    assert features(tables, "ann", "j1")["posting_log_applied"] == 0
    assert features(tables, "dan", "j1")["posting_log_applied"] == pytest.approx(math.log(2))
    assert features(tables, "bob", "j1")["posting_log_shown"] == pytest.approx(math.log(3))


def test_rates_begin_at_the_rate_above_and_move_with_what_is_seen(tables):
    rate = features(tables, "bob", "j1")["posting_apply_rate"]
    # Five places shown to ann, one applied for; then the title's one of one, then the posting's.
    base = (1 + 0.5) / (5 + 0.5 + 0.5)
    title = (1 + 2 * base) / (1 + 2)
    assert rate == pytest.approx((1 + 2 * title) / (1 + 2))


def test_everything_counts_without_examples(feed, build):
    tables = build(feed, cut=False)
    found = features(tables, "nobody", "j1")
    assert found["posting_log_shown"] == pytest.approx(math.log(1 + 6))
    assert tables.as_of == 3 * DAY + 2 * MINUTE


def test_a_page_shown_before_the_first_action_of_the_target_does_not_count(tmp_path, build):
    feed = Feed(tmp_path / "source")
    feed.member("ann", TRAIN, [NURSE], [(None, {"j3": "APPLY"})])
    found = features(build(feed), "bob", "j3")
    assert found["posting_log_shown"] == pytest.approx(math.log(2))


def test_of_several_examples_the_latest_cut_counts(feed, tables, build):
    earlier = {"member_id": "ann", "split": TRAIN, "context_end": 1, "target_end": 2}
    feed.earlier_examples.append(earlier)
    np.testing.assert_array_equal(everything(build(feed)), everything(tables))


def test_query_and_posting_are_compared_word_by_word(tables):
    found = features(tables, "nobody", "j1", "Senior nurse boston")
    assert found["title_is_query"] == found["place_agrees"] == found["level_agrees"] == 1
    assert found["title_covers_query"] == 1
    found = features(tables, "nobody", "j2", "senior nurse boston")
    assert found["title_shared"] == 1
    assert 0 < found["title_covers_query"] < 1
    assert found["place_differs"] == 1
    assert found["level_apart"] == 0
    found = features(tables, "nobody", "j1", "epic triage")
    assert found["skills_cover_query"] == 1
    assert found["title_shared"] == 0


def test_an_abbreviation_shares_letters(tables):
    near = features(tables, "nobody", "j1", "nursing")["title_letters_cover_query"]
    far = features(tables, "nobody", "j3", "nursing")["title_letters_cover_query"]
    assert near > far == 0


def test_no_query_is_not_an_empty_query(tables):
    assert features(tables, "ann", "j1")["query_given"] == 0
    assert features(tables, "ann", "j1", "")["query_given"] == 1


def test_a_query_is_as_frequent_as_training_members_made_it(tables):
    assert tables.searches(["Nurse", "welder boston", "never"]).tolist() == [1, 0, 0]
    assert features(tables, "cat", "j1", "nurse")["query_log_searches"] == pytest.approx(
        math.log(2)
    )
    # The one search was ann's own.
    assert features(tables, "ann", "j1", "nurse")["query_log_searches"] == 0


def test_a_members_own_past_is_told_by_posting_company_and_title(tables):
    found = features(tables, "ann", "j1", ts=3 * DAY)
    assert (
        found["own_log_applied"] == found["own_company_log_applied"] == pytest.approx(math.log(2))
    )
    assert found["own_days_since"] == pytest.approx(math.log1p(2), abs=1e-3)
    assert found["applied_most"] == pytest.approx(1)
    other = features(tables, "ann", "j3", ts=3 * DAY)
    assert other["own_log_applied"] == other["applied_most"] == 0
    assert other["own_days_since"] == pytest.approx(math.log1p(NEVER))
    assert other["own_log_shown"] == pytest.approx(math.log(3))


def test_answers_given_before_the_cut_count_and_later_ones_do_not(feed, tables, build):
    feed.answer("ann", "j1", "confirmed_hire", applied=1, answered=2)
    feed.answer("bob", "j1", "interview", applied=2, answered=3)
    silent, tables = tables, build(feed)
    found = features(tables, "ann", "j2")
    assert found["member_log_answers"] == pytest.approx(math.log(2))
    assert found["member_hire_rate"] > features(silent, "ann", "j2")["member_hire_rate"]
    assert found["title_hire_rate"] == features(tables, "nobody", "j2")["title_hire_rate"]
    # What ann was told says something of the title to others, and nothing to herself.
    rates = [features(tables, who, "j1")["title_hire_rate"] for who in ("ann", "bob")]
    assert rates[0] < rates[1]
    assert features(tables, "bob", "j2")["member_log_answers"] == 0


def test_the_profile_is_compared_with_the_posting(tables):
    found = features(tables, "ann", "j1")
    assert (found["same_place"], found["headline_covered"], found["member_years"]) == (1, 1, 7)
    assert features(tables, "bob", "j1")["same_place"] == 0
    assert features(tables, "bob", "j1")["member_years"] == 0


def test_what_is_unknown_is_neutral(tables):
    known, unknown = features(tables, "bob", "j1"), features(tables, "nobody", "unheard of")
    assert unknown["member_known"] == unknown["posting_log_shown"] == unknown["own_log_shown"] == 0
    assert unknown["posting_title"] == unknown["member_place"] == unknown["query_core"] == 0
    assert unknown["posting_industry"] == 0 < known["posting_industry"]
    assert 0 < unknown["posting_open_rate"] < 1
    assert tables.member_rows(["nobody", "ann"]).tolist() == [-1, 0]


def test_a_pair_has_the_same_features_alone_and_among_others(tables, monkeypatch):
    rows, items = np.tile([0, 1, 2, -1], 25), np.repeat([0, 1, 2, -1], 25)
    texts = ["nurse", "welder boston", "anything"]
    codes = np.resize([0, 1, 2, -1, 1], 100)
    ts = np.arange(100) * DAY // 7
    whole = tables.pairs(rows, items, (texts, codes), ts)
    monkeypatch.setattr(tables_module, "_AT_ONCE", 7)
    in_parts = tables.pairs(rows, items, (texts, codes), ts)
    named = [texts[code] if code >= 0 else None for code in codes]
    for one in range(100):
        at = slice(one, one + 1)
        alone = tables.pairs(rows[at], items[at], named[at], ts[at])
        for other in (whole, in_parts):
            np.testing.assert_array_equal(alone.continuous[0], other.continuous[one])
            np.testing.assert_array_equal(alone.categorical[0], other.categorical[one])


def test_two_builds_are_equal_to_the_last_bit(feed, tables, build):
    np.testing.assert_array_equal(everything(build(feed)), everything(tables))


@pytest.mark.parametrize("column", ["company", "title", "industry", "place", "skills"])
def test_postings_may_lack_a_column(feed, build, column):
    feed.postings = [{k: v for k, v in own.items() if k != column} for own in feed.postings]
    assert np.isfinite(everything(build(feed))).all()


@pytest.mark.parametrize("column", ["place", "headline", "years"])
def test_profiles_may_lack_a_column(feed, build, column):
    feed.profiles = [{k: v for k, v in own.items() if k != column} for own in feed.profiles]
    tables = build(feed)
    assert np.isfinite(everything(tables)).all()
    assert features(tables, "ann", "j1")["member_has_profile"] == 1


def test_there_may_be_no_profiles_and_no_postings(feed, build):
    feed.profiles, feed.postings = [], []
    tables = build(feed)
    assert np.isfinite(everything(tables)).all()
    # What training members acted on before their cuts is all that is known of postings.
    assert tables.item_ids.to_pylist() == ["j1", "j2"]


def test_a_feed_without_pages_shown_gives_an_empty_directory(feed, tmp_path):
    feed.pages = []
    home = feed.write()
    build_tables(
        home / "feed", home / "sessions", tmp_path / "out", FeaturesConfig(), examples=None
    )
    assert list((tmp_path / "out").iterdir()) == []
    assert not has_tables(tmp_path / "out")
    with pytest.raises(FeaturesError, match="about.json"):
        FeatureTables.open(tmp_path / "out")


@pytest.mark.parametrize(
    "name",
    [
        "feed/postings/part-00000.parquet",
        "feed/impressions/part-00000.parquet",
        "examples/examples.parquet",
    ],
)
def test_a_damaged_input_is_named(feed, tmp_path, name):
    home = feed.write()
    (home / name).write_bytes((home / name).read_bytes()[:100])
    with pytest.raises(FeaturesError, match=name):
        build_tables(
            home / "feed",
            home / "sessions",
            tmp_path / "out",
            FeaturesConfig(),
            examples=home / "examples",
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["own.title.values.npy", "words.txt", "about.json"])
def test_a_damaged_file_of_the_tables_is_named(directory, tmp_path, name):
    copy = shutil.copytree(directory, tmp_path / "copy")
    (copy / name).write_bytes((directory / name).read_bytes()[:40])
    with pytest.raises(FeaturesError, match=name):
        FeatureTables.open(copy)


def test_tables_for_serving_have_the_words_and_codes_of_those_a_model_was_trained_on(
    feed, directory, tables, tmp_path
):
    """A model that learnt what a code means finds it meaning the same, whatever came since."""
    feed.postings.append({"item_id": "j0", "company": "Aaa", "title": "Actor", "place": "aachen"})
    feed.member("abe", TRAIN, [("actor", {"j0": "APPLY"})])
    home = feed.write()
    now = tmp_path / "now"
    build_tables(
        home / "feed", home / "sessions", now, FeaturesConfig(), examples=None, like=directory
    )
    served = FeatureTables.open(now)
    assert served.categorical == tables.categorical
    assert served.words.words == tables.words.words
    codes = [name for name, _ in tables.categorical]
    for query in ("nurse", "welder denver"):
        before, after = (features(own, "ann", "j1", query) for own in (tables, served))
        assert [before[name] for name in codes] == [after[name] for name in codes]
    assert features(served, "abe", "j0", "actor aachen")["posting_title"] == 0
    assert features(served, "abe", "j0", "actor aachen")["query_place"] == 0
    assert features(served, "abe", "j0", "actor aachen")["place_agrees"] == 1
