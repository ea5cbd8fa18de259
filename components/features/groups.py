"""The continuous features of pairs, group by group, as `specification` lists them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from components.features.counting import ACT_KINDS, CHANNELS, HISTORY_KINDS
from components.features.kernels import term_means
from components.features.pairs import Counted, Pairs, compare, compare_past, taken_rows
from components.features.rates import (
    DAY,
    Column,
    Counts,
    Rates,
    lift,
    log_days_since,
    share,
    smooth,
)

Columns = dict[str, Column]

_PAST = {"open": "opened", "save": "saved", "dismiss": "dismissed", "apply": "applied"}
_SINCE = {"search": "search", "open": "opened", "save": "saved", "apply": "applied"}


def posting_features(data: Counted, pairs: Pairs) -> Columns:
    """Popularity of the posting and of what it belongs to."""
    others, arrays = pairs.others, data.arrays
    title = smooth(others["title"], data.base, data.smoothing)
    company = smooth(others["company"], data.base, data.smoothing)
    # A posting that few have seen is judged by its title.
    posting = smooth(others["posting"], title, data.smoothing)
    columns = {
        **_rate_columns("posting", others["posting"], posting),
        **_rate_columns("company", others["company"], company),
        **_rate_columns("title", others["title"], title),
    }
    columns |= {"company_hire_rate": company.hired, "title_hire_rate": title.hired}
    for space in ("industry", "place", "level"):
        rates = smooth(others[space], data.base, data.smoothing)
        columns |= {f"{space}_open_rate": rates.opened, f"{space}_apply_rate": rates.applied}
        if space != "place":
            columns[f"{space}_hire_rate"] = rates.hired
    for name, count in (
        ("opened", "did_open"),
        ("saved", "did_save"),
        ("dismissed", "did_dismiss"),
        ("applied", "did_apply"),
    ):
        columns[f"posting_log_{name}"] = np.log1p(others["posting"][count])
    facts = taken_rows(arrays["posting.facts"], pairs.posting)
    for at, name in enumerate(POSTING_FACTS):
        columns[name] = facts[:, at]
    return columns


POSTING_FACTS = (
    "posting_title_words",
    "posting_company_words",
    "posting_skill_words",
    "posting_log_of_company",
    "posting_log_of_title",
)
"""Columns of the array `posting.facts`."""


def query_features(data: Counted, pairs: Pairs) -> Columns:
    """What the query is like, and how its results fare."""
    queries, row, core = pairs.queries, pairs.query, pairs.others["core"]
    rates = smooth(core, data.base, data.smoothing)
    return {
        "query_given": (row >= 0).astype(np.float64),
        "query_words": taken_rows(queries.length, row),
        "query_characters": taken_rows(queries.characters, row),
        "query_log_searches": np.log1p(pairs.searches),
        "query_log_core_shown": np.log1p(core["shown"]),
        "query_open_rate": rates.opened,
        "query_apply_rate": rates.applied,
        "query_open_lift": lift(core, "opened"),
        "query_has_place": taken_rows(queries.place > 0, row),
        "query_has_level": taken_rows(queries.level > 0, row),
        "query_has_kind_of_work": taken_rows(queries.kind_of_work, row),
        "query_mean_idf": taken_rows(queries.mean_idf, row),
        "query_unknown_words": taken_rows(queries.unknown, row),
    }


def match_features(data: Counted, pairs: Pairs) -> Columns:
    """How the query fits the posting."""
    queries, arrays, codes = pairs.queries, data.arrays, pairs.codes
    skills = np.where(pairs.posting >= 0, taken_rows(arrays["posting.skills"], pairs.posting), -1)
    words, letters, row = queries.words, queries.letters, pairs.query
    title = compare(words, row, arrays.sets("title.words"), codes["title"])
    title_letters = compare(letters, row, arrays.sets("title.letters"), codes["title"])
    company = compare(words, row, arrays.sets("company.words"), codes["company"])
    skill = compare(words, row, arrays.sets("skills.words"), skills)
    skill_letters = compare(letters, row, arrays.sets("skills.letters"), skills)
    place, level = taken_rows(queries.place, row), taken_rows(queries.level, row)
    both_levels = (level > 0) & (codes["level"] > 0)
    both_places = (place > 0) & (codes["place"] > 0)
    pair = pairs.others["pair"]
    rates = smooth(pair, smooth(pairs.others["title"], data.base, data.smoothing), data.smoothing)
    return {
        "title_shared": title[0],
        "title_covers_query": title[1],
        "query_covers_title": title[2],
        "title_jaccard": title[3],
        "title_is_query": title[3] == 1,
        "title_letters_cover_query": title_letters[1],
        "query_letters_cover_title": title_letters[2],
        "title_letters_jaccard": title_letters[3],
        "company_covers_query": company[1],
        "query_covers_company": company[2],
        "skills_cover_query": skill[1],
        "query_covers_skills": skill[2],
        "skills_letters_cover_query": skill_letters[1],
        "place_agrees": both_places & (place == codes["place"]),
        "place_differs": both_places & (place != codes["place"]),
        "level_agrees": both_levels & (level == codes["level"]),
        "level_apart": np.where(both_levels, np.abs(level - codes["level"]), 0),
        "query_title_log_shown": np.log1p(pair["shown"]),
        "query_title_open_rate": rates.opened,
        "query_title_apply_rate": rates.applied,
        "query_title_open_lift": lift(pair, "opened"),
        "query_title_apply_lift": lift(pair, "applied"),
    }


def member_features(data: Counted, pairs: Pairs) -> Columns:
    """What the member is like."""
    arrays, row = data.arrays, pairs.member
    facts = np.ascontiguousarray(taken_rows(arrays["member.facts"], row).T)
    first, latest = arrays["member.first"], taken_rows(arrays["member.latest"], row)
    columns: Columns = dict(zip(MEMBER_FACTS, facts, strict=True))
    columns["member_days_since_first"] = log_days_since(pairs.ts, taken_rows(first, row))
    columns["member_days_since_last"] = log_days_since(pairs.ts, latest[:, 0])
    for kind, name in _SINCE.items():
        last = latest[:, 1 + ACT_KINDS.index(kind)]
        columns[f"member_days_since_{name}"] = log_days_since(pairs.ts, last)
    return columns


MEMBER_FACTS = (
    "member_known",
    "member_has_profile",
    "member_years",
    "member_log_searches",
    "member_log_opened",
    "member_log_saved",
    "member_log_dismissed",
    "member_log_applied",
    "member_log_other",
    "member_log_sessions",
    "member_log_days",
    "member_log_titles",
    "member_log_companies",
    "member_search_share",
    "member_from_search",
    "member_from_recommendation",
    "member_from_alert",
    "member_from_notification",
    "member_from_navigation",
    "member_log_shown",
    "member_open_rate",
    "member_apply_rate",
    "member_open_lift",
    "member_log_answers",
    "member_wanted_rate",
    "member_hire_rate",
    "member_level",
)
"""Columns of the array `member.facts`."""


def affinity_features(data: Counted, pairs: Pairs) -> Columns:
    """How the posting fits what the member says and has done."""
    arrays, codes, member = data.arrays, pairs.codes, pairs.member
    titles, letters = arrays.sets("title.words"), arrays.sets("title.letters")
    headline = np.where(member >= 0, taken_rows(arrays["member.headline"], member), -1)
    said = compare(arrays.sets("headline.words"), headline, titles, codes["title"])
    said_letters = compare(arrays.sets("headline.letters"), headline, letters, codes["title"])
    place = taken_rows(arrays["member.place"], member)
    usual = taken_rows(arrays["member.level"], member)
    level = codes["level"]
    columns: Columns = {
        "same_place": (place > 0) & (place == codes["place"]),
        "headline_covered": said[1],
        "headline_covers_title": said[2],
        "headline_letters": said_letters[3],
        "level_from_usual": np.where((level > 0) & (usual > 0), level - usual, 0),
        **_past_columns(data, pairs),
    }
    runs = (arrays["term.offsets"], arrays["term.terms"], arrays["term.values"])
    words = term_means(*runs, member, titles, codes["title"])
    for at, name in enumerate(("words_log_done", "words_log_shown", "words_open_lift")):
        columns[name] = words[:, at]
    return columns | _own_columns(pairs, taken_rows(arrays["member.done"], member))


def context_features(data: Counted, pairs: Pairs) -> Columns:
    """When it is."""
    angle = 2 * np.pi * ((pairs.ts % DAY) / DAY)
    return {"hour_sine": np.sin(angle), "hour_cosine": np.cos(angle)}


GROUPS: tuple[Callable[[Counted, Pairs], Columns], ...] = (
    posting_features,
    query_features,
    match_features,
    member_features,
    affinity_features,
    context_features,
)


def member_facts(
    counts: Counts, base: Rates, strength: float, totals: dict[str, NDArray]
) -> NDArray[np.float32]:
    """Work out the columns MEMBER_FACTS of every member when the tables are built.

    Args:
        counts: of each member.
        base: rates over everything that was shown.
        strength: of smoothing.
        totals: acts [m, ACT_KINDS], channels [m, CHANNELS], and by member: sessions, active_days,
            titles, companies, level, known, profile, years.
    """
    rates = smooth(counts, base, strength)
    acts, channels = totals["acts"], totals["channels"]
    done = acts.sum(1)
    columns = [
        totals["known"],
        totals["profile"],
        np.maximum(totals["years"], 0),
        *(np.log1p(acts[:, at]) for at in range(len(ACT_KINDS))),
        *(np.log1p(totals[name]) for name in ("sessions", "active_days", "titles", "companies")),
        share(acts[:, ACT_KINDS.index("search")], done),
        *(share(channels[:, CHANNELS.index(name)], done) for name in _CHANNEL_ORDER),
        np.log1p(counts["shown"]),
        rates.opened,
        rates.applied,
        lift(counts, "opened"),
        np.log1p(counts["answered"]),
        # One member has few answers: a handful must already tell him from others.
        smooth(counts, base, _FEW_ANSWERS).wanted,
        smooth(counts, base, _FEW_ANSWERS).hired,
        totals["level"],
    ]
    return np.stack(columns, 1).astype(np.float32)


_FEW_ANSWERS = 3.0
_CHANNEL_ORDER = ("search", "recommendation", "alert", "notification", "navigation")


def _rate_columns(name: str, counts: Counts, rates: Rates) -> Columns:
    return {
        f"{name}_log_shown": np.log1p(counts["shown"]),
        f"{name}_open_rate": rates.opened,
        f"{name}_save_rate": rates.saved,
        f"{name}_dismiss_rate": rates.dismissed,
        f"{name}_apply_rate": rates.applied,
        f"{name}_apply_per_open": rates.applied_of_opened,
        f"{name}_open_lift": lift(counts, "opened"),
        f"{name}_apply_lift": lift(counts, "applied"),
    }


def _past_columns(data: Counted, pairs: Pairs) -> Columns:
    arrays, member, title = data.arrays, pairs.member, pairs.codes["title"]
    words = arrays.sets("title.words")
    skills = np.where(pairs.posting >= 0, taken_rows(arrays["posting.skills"], pairs.posting), -1)
    columns: Columns = {}
    for kind in HISTORY_KINDS:
        past = (arrays[f"past.{kind}.offsets"], arrays[f"past.{kind}.texts"])
        most, mean = compare_past(past, member, words, words, title)
        columns[f"{_PAST[kind]}_most"] = most
        if kind != "dismiss":
            columns[f"{_PAST[kind]}_mean"] = mean
    searched = (arrays["past.search.offsets"], arrays["past.search.texts"])
    cores = arrays.sets("core.words")
    columns["searched_most"], columns["searched_mean"] = compare_past(
        searched, member, cores, words, title
    )
    columns["searched_letters_most"] = compare_past(
        searched, member, arrays.sets("core.letters"), arrays.sets("title.letters"), title
    )[0]
    columns["searched_skills_most"] = compare_past(
        searched, member, cores, arrays.sets("skills.words"), skills
    )[0]
    return columns


def _own_columns(pairs: Pairs, done: Column) -> Columns:
    own, last, ts = pairs.own, pairs.last, pairs.ts
    columns: Columns = {}

    def add(prefix: str, space: str, **names: str) -> None:
        for name, count in names.items():
            columns[f"{prefix}_log_{name}"] = np.log1p(own[space][count])

    done_counts = {
        "shown": "shown",
        "opened": "did_open",
        "saved": "did_save",
        "dismissed": "did_dismiss",
        "applied": "did_apply",
    }
    add("own", "posting", **done_counts)
    add("own_title", "title", **done_counts)
    add("own_company", "company", shown="shown", opened="did_open", applied="did_apply")
    add("own_query", "core", shown="shown")
    add("own_query_title", "pair", shown="shown", opened="opened")
    columns["own_days_since"] = log_days_since(ts, last["posting"])
    columns["own_title_days_since"] = log_days_since(ts, last["title"])
    columns["own_company_days_since"] = log_days_since(ts, last["company"])
    for space in ("industry", "place", "level"):
        counts = own[space]
        of_space = counts["did_open"] + counts["did_save"] + counts["did_apply"]
        columns[f"own_{space}_share"] = share(of_space, done)
    for space in ("title", "industry", "level"):
        columns[f"own_{space}_open_lift"] = lift(own[space], "opened")
    return columns


def member_done(counts: Counts) -> NDArray[np.float32]:
    """Return how many postings each member opened, saved or applied for."""
    done = counts["did_open"] + counts["did_save"] + counts["did_apply"]
    return done.astype(np.float32)
