"""What the members do, as Table 1 and Figure 3 of the paper say, and for the reasons we gave."""

import numpy as np
import pyarrow.parquet as pq
import pytest


@pytest.fixture(scope="module")
def sessions(market):
    actions = market.actions
    searched = actions.action == "JOB_SEARCH"
    applied = actions.action == "APPLY"
    after = applied & (searched.groupby(actions.session).cumsum() > 0)
    columns = {"searched": searched, "applied": applied, "after": after}
    by_session = actions.assign(**columns).groupby("session")
    return by_session.agg(
        member_id=("member_id", "first"),
        length=("action", "size"),
        searched=("searched", "any"),
        applied=("applied", "any"),
        after=("after", "any"),
        channels=("channel", "nunique"),
    )


def test_a_member_has_sixteen_and_a_half_sessions_on_average(sessions, config):
    mean = len(sessions) / config.members
    assert mean == pytest.approx(16.5, abs=1.5)


def test_a_few_members_are_very_active_and_most_are_not(sessions):
    counts = sessions.groupby("member_id").size().sort_values()
    assert counts.median() < 10
    assert counts.tail(len(counts) // 10).sum() > 0.4 * counts.sum()


def test_most_sessions_are_short_and_the_tail_is_long(sessions):
    assert 0.55 < (sessions.length <= 2).mean() < 0.75
    assert 0.04 < (sessions.length > 10).mean() < 0.12


def test_short_sessions_come_from_pushes_and_long_ones_from_search(sessions):
    short, long = sessions[sessions.length <= 2], sessions[sessions.length > 10]
    assert short.searched.mean() < 0.25
    assert long.searched.mean() > 0.5
    only_applied = short.applied & ~short.searched
    assert 0.02 < only_applied.mean() < 0.2


def test_applying_after_a_search_is_more_than_twice_as_common_in_long_sessions(sessions):
    searching = sessions[sessions.searched]
    long = searching.after[searching.length > 10].mean()
    assert 0.35 < long < 0.7
    assert long > 2 * searching.after[searching.length <= 10].mean()


def test_a_session_may_run_over_several_channels(sessions, market):
    assert (sessions.channels > 1).mean() > 0.1
    assert set(market.actions.channel) == {
        "search",
        "recommendation",
        "alert",
        "notification",
        "navigation",
    }


def test_one_member_in_six_never_searches(market, config):
    searchers = market.actions.member_id[market.actions.action == "JOB_SEARCH"].nunique()
    assert 1 - searchers / config.members == pytest.approx(0.16, abs=0.005)


def test_queries_are_not_copies_of_titles(market):
    titles = {title.lower() for title in market.postings.title}
    queries = market.actions["query"].dropna()
    assert queries.isin(titles).mean() < 0.25


def test_labels_repeat_over_members_and_have_a_long_tail(market):
    actions = market.actions
    label = actions["query"].fillna(actions.company + " " + actions.title)
    made = actions.assign(label=label)[actions.action.isin(["JOB_SEARCH", "APPLY"])]
    members = made.drop_duplicates(["member_id", "label"]).label.value_counts()
    assert members[members >= 3].sum() > 0.5 * members.sum()
    assert (members < 3).mean() > 0.5


def test_a_query_is_asked_again_later(market):
    searches = market.actions[market.actions.action == "JOB_SEARCH"]
    repeated = searches.duplicated(["member_id", "query"])
    assert 0.2 < repeated.mean() < 0.8


def test_a_page_shows_a_posting_once(market):
    pages = market.impressions
    assert (pages.item_ids.str.len() == pages.outcomes.str.len()).all()
    assert all(len(set(items)) == len(items) for items in pages.item_ids)


def test_the_top_of_a_page_is_opened_more_often_at_equal_grade(shown):
    perfect = shown[(shown.grade == 3) & (shown.channel == "search")]
    opened = (perfect.outcomes != "").groupby(perfect.position.astype(int)).mean()
    assert opened[0] > 1.3 * opened[3]
    assert opened[3] > opened[8]


def test_what_fits_better_is_opened_saved_and_applied_to_more(shown):
    first = shown[shown.position < 3]
    opened = (first.outcomes != "").groupby(first.grade).mean()
    assert opened[3] > opened[2] > opened[0]
    seen = first[first.outcomes != ""]
    for action in ("APPLY", "SAVE"):
        rate = (seen.outcomes == action).groupby(seen.grade).mean()
        assert rate[3] > 3 * rate[0]
    dismissed = (seen.outcomes == "DISMISS").groupby(seen.grade).mean()
    assert dismissed[0] > 3 * dismissed[3]


def test_nobody_applies_twice_to_a_posting(market):
    applied = market.actions[market.actions.action == "APPLY"]
    assert not applied.duplicated(["member_id", "item_id"]).any()


def test_saved_postings_are_returned_to_and_applied_to(market):
    actions = market.actions
    saved = actions[actions.action == "SAVE"].groupby(["member_id", "item_id"]).ts.min()
    returned = actions[(actions.channel == "navigation") & (actions.action == "APPLY")]
    since = saved.reindex(list(zip(returned.member_id, returned.item_id, strict=True)))
    assert len(returned) > 100
    assert (since.to_numpy() < returned.ts.to_numpy()).mean() > 0.95


def test_recruiters_answer_after_the_application_and_prefer_who_fits(market, shown):
    answers = market.responses
    assert (answers.response_ts > answers.applied_ts).all()
    grades = shown.drop_duplicates(["member_id", "item_ids"]).set_index(["member_id", "item_ids"])
    grade = grades.grade.reindex(list(zip(answers.member_id, answers.item_id, strict=True)))
    hired = (answers.response == "confirmed_hire").groupby(grade.to_numpy()).mean()
    assert hired[3] > hired[1]
    assert 0.02 < (answers.response == "confirmed_hire").mean() < 0.5


def test_the_last_goal_shows_in_the_last_searches(market):
    """Drift: for members whose goal changed, late searches fit the latest goal, early ones less."""
    goals = pq.read_table(market.truth_path / "members", columns=["member_id"]).to_pandas()
    counts = goals.member_id.value_counts()
    changed = counts.index[counts > 1]
    searches = market.actions[
        (market.actions.action == "JOB_SEARCH") & market.actions.member_id.isin(changed)
    ]
    number = searches.groupby("member_id").cumcount()
    size = searches.groupby("member_id")["query"].transform("size")
    grades = market.truth.grade(searches.member_id.tolist(), [[q] for q in searches["query"]])[:, 0]
    many = size.to_numpy() >= 5
    late = (number / size).to_numpy() >= 0.8
    early = (number / size).to_numpy() < 0.2
    assert grades[many & late].mean() > grades[many & early].mean() + 0.3
    assert np.isin(grades, [0, 1, 2, 3]).all()
