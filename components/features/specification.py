"""Every feature of a member, a query and a posting: its name, its group, what it means.

This is the one list that training and serving share. Counts are log(1 + n); days are log(1 + days),
NEVER days where it has not happened; a share or rate is from 0 to 1. "Lift" is the log of how much
more often something happened than at the same places of a page on average. Rates over all members
leave out what the member at hand did, because a member who is measured is not in them either.
"""

from typing import NamedTuple

NEVER = 1_000.0
"""Days since what has not happened."""


class Feature(NamedTuple):
    """One column: its name, its group, what it means."""

    name: str
    group: str
    meaning: str


def _group(group: str, **features: str) -> tuple[Feature, ...]:
    return tuple(Feature(name, group, meaning) for name, meaning in features.items())


def _rates(what: str, text: str) -> dict[str, str]:
    return {
        f"{what}_log_shown": f"times {text} was shown",
        f"{what}_open_rate": f"share of those times it was opened, {text}",
        f"{what}_save_rate": f"share saved, {text}",
        f"{what}_dismiss_rate": f"share dismissed, {text}",
        f"{what}_apply_rate": f"share applied for, {text}",
        f"{what}_apply_per_open": f"share of openings that led to an application, {text}",
        f"{what}_open_lift": f"openings over those usual at its places, {text}",
        f"{what}_apply_lift": f"applications over those usual at its places, {text}",
    }


CONTINUOUS: tuple[Feature, ...] = (
    *_group(
        "posting",
        **_rates("posting", "this posting"),
        posting_log_opened="times opened, on any channel",
        posting_log_saved="times saved, on any channel",
        posting_log_dismissed="times dismissed, on any channel",
        posting_log_applied="applications, on any channel",
        posting_title_words="words of its title",
        posting_company_words="words of its company's name",
        posting_skill_words="words of its skills",
        posting_log_of_company="postings of the same company",
        posting_log_of_title="postings with the same title",
        **_rates("company", "postings of this company"),
        **_rates("title", "postings with this title"),
        industry_open_rate="share opened, postings of this industry",
        industry_apply_rate="share applied for, postings of this industry",
        place_open_rate="share opened, postings of this place",
        place_apply_rate="share applied for, postings of this place",
        level_open_rate="share opened, postings of this level",
        level_apply_rate="share applied for, postings of this level",
        company_hire_rate="share of applications for the company that led to a confirmed hire",
        title_hire_rate="share of applications for the title that led to a confirmed hire",
        industry_hire_rate="share of applications in the industry that led to a confirmed hire",
        level_hire_rate="share of applications at the level that led to a confirmed hire",
    ),
    *_group(
        "query",
        query_given="1 if there is a query",
        query_words="words of the query",
        query_characters="characters of the query",
        query_log_searches="searches with exactly this query by other members",
        query_log_core_shown="postings shown for queries of the same core",
        query_open_rate="share opened of what is shown for its core",
        query_apply_rate="share applied for of what is shown for its core",
        query_open_lift="openings for its core over those usual at the same places",
        query_has_place="1 if it names a place",
        query_has_level="1 if it says a level, such as senior",
        query_has_kind_of_work="1 if it names a kind of work, such as part time",
        query_mean_idf="how rare its words are in titles, on average",
        query_unknown_words="share of its words without an id",
    ),
    *_group(
        "query x posting",
        title_shared="words of the query's core that are in the title",
        title_covers_query="share of the core's words, by rarity, that are in the title",
        query_covers_title="share of the title's words, by rarity, that are in the core",
        title_jaccard="words shared over words of either, core and title",
        title_is_query="1 if core and title are the same words",
        title_letters_cover_query="share of the core's runs of three letters in the title",
        query_letters_cover_title="share of the title's runs of three letters in the core",
        title_letters_jaccard="runs of three letters shared over those of either",
        company_covers_query="share of the core's words, by rarity, in the company's name",
        query_covers_company="share of the company's name, by rarity, in the core",
        skills_cover_query="share of the core's words, by rarity, among the skills",
        query_covers_skills="share of the skills' words, by rarity, in the core",
        skills_letters_cover_query="share of the core's runs of three letters in the skills",
        place_agrees="1 if the query names the posting's place",
        place_differs="1 if the query names another place",
        level_agrees="1 if query and title say the same level",
        level_apart="steps between the levels that query and title say, 0 if either is silent",
        query_title_log_shown="times this title was shown for the query's core",
        query_title_open_rate="share opened, this title for the query's core",
        query_title_apply_rate="share applied for, this title for the query's core",
        query_title_open_lift="openings over those usual, this title for the query's core",
        query_title_apply_lift="applications over those usual, this title for the query's core",
    ),
    *_group(
        "member",
        member_known="1 if the member has acted before",
        member_has_profile="1 if there is a profile",
        member_years="years of experience",
        member_log_searches="searches",
        member_log_opened="openings",
        member_log_saved="saved",
        member_log_dismissed="dismissed",
        member_log_applied="applications",
        member_log_other="other actions",
        member_log_sessions="sessions",
        member_log_days="days with an action",
        member_log_titles="distinct titles acted on",
        member_log_companies="distinct companies acted on",
        member_search_share="share of searches among all actions",
        member_from_search="share of actions on search pages",
        member_from_recommendation="share of actions on recommendations",
        member_from_alert="share of actions on alerts",
        member_from_notification="share of actions on notifications",
        member_from_navigation="share of actions while browsing",
        member_log_shown="postings shown",
        member_open_rate="share opened of what was shown",
        member_apply_rate="share applied for of what was shown",
        member_open_lift="openings over those usual at the same places",
        member_log_answers="recruiters' answers to the member's applications",
        member_wanted_rate="share of those answers that asked for an interview or confirmed a hire",
        member_hire_rate="share of the member's applications that led to a confirmed hire",
        member_level="mean level of the titles acted on, 0 if none says one",
        member_days_since_first="days since the first action",
        member_days_since_last="days since the last action",
        member_days_since_search="days since the last search",
        member_days_since_opened="days since the last opening",
        member_days_since_saved="days since the last saving",
        member_days_since_applied="days since the last application",
    ),
    *_group(
        "member x posting",
        same_place="1 if the posting is in the member's place",
        headline_covered="share of the headline's words, by rarity, in the title",
        headline_covers_title="share of the title's words, by rarity, in the headline",
        headline_letters="runs of three letters shared over those of either, headline and title",
        level_from_usual="level of the title less the mean level acted on, 0 if either is unknown",
        searched_most="similarity of the title to the most similar past query",
        searched_mean="similarity of the title to past queries, mean",
        searched_letters_most="the same by runs of three letters, most",
        searched_skills_most="similarity of the skills to the most similar past query",
        opened_most="similarity of the title to the most similar title opened",
        opened_mean="similarity of the title to titles opened, mean",
        saved_most="similarity of the title to the most similar title saved",
        saved_mean="similarity of the title to titles saved, mean",
        applied_most="similarity of the title to the most similar title applied for",
        applied_mean="similarity of the title to titles applied for, mean",
        dismissed_most="similarity of the title to the most similar title dismissed",
        words_log_done="times that titles with its words were opened, saved or applied for",
        words_log_shown="times that titles with its words were shown",
        words_open_lift="openings of titles with its words over the member's usual share",
        own_log_shown="times the member was shown this posting",
        own_log_opened="times the member opened it",
        own_log_saved="times the member saved it",
        own_log_dismissed="times the member dismissed it",
        own_log_applied="times the member applied for it",
        own_days_since="days since the member last acted on it",
        own_company_log_shown="times the member was shown the company",
        own_company_log_opened="openings of its postings by the member",
        own_company_log_applied="applications for its postings by the member",
        own_company_days_since="days since the member last acted on one of its postings",
        own_title_log_shown="times the member was shown the title",
        own_title_log_opened="openings of the title by the member",
        own_title_log_saved="postings with the title that the member saved",
        own_title_log_dismissed="postings with the title that the member dismissed",
        own_title_log_applied="applications for the title by the member",
        own_title_days_since="days since the member last acted on the title",
        own_title_open_lift="the member's openings of the title over those usual",
        own_industry_share="share of the member's actions that went to the industry",
        own_industry_open_lift="the member's openings in the industry over those usual",
        own_place_share="share of the member's actions that went to the place",
        own_level_share="share of the member's actions that went to the level",
        own_level_open_lift="the member's openings at the level over those usual",
        own_query_log_shown="postings the member was shown for the query's core",
        own_query_title_log_shown="times the member was shown the title for the query's core",
        own_query_title_log_opened="openings of the title for the query's core by the member",
    ),
    *_group(
        "context",
        hour_sine="time of day, UTC, as a point on a circle",
        hour_cosine="time of day, UTC, as a point on a circle",
    ),
)

CATEGORICAL: tuple[Feature, ...] = (
    *_group(
        "posting",
        posting_industry="industry of the posting",
        posting_place="place of the posting",
        posting_level="level that the title says",
        posting_skill="first skill of the posting",
        posting_company="company, if it is shown often",
        posting_title="title, if it is shown often",
    ),
    *_group(
        "query",
        query_place="place that the query names",
        query_level="level that the query says",
        query_core="core of the query, if its results are shown often",
    ),
    *_group(
        "member",
        member_place="place in the profile",
        member_headline="headline of the profile, if several members have it",
    ),
    *_group("context", hour="hour of the day, UTC, from 1", weekday="day of the week, Monday is 1"),
)
"""Codes of which 0 is unknown or unseen."""

CONTINUOUS_NAMES = [feature.name for feature in CONTINUOUS]
CATEGORICAL_NAMES = [feature.name for feature in CATEGORICAL]

_PROFILE = ("member_has_profile", "member_years", "same_place", "headline_")
HISTORY_NAMES = [
    feature.name
    for feature in CONTINUOUS
    if feature.group in ("member", "member x posting") and not feature.name.startswith(_PROFILE)
]
"""What a member did before, counted by hand: all of it that an activity vector tells in its way."""
