"""Everything the marketplace offers: employers, postings, and the queries people type for them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.marketplace.config import MarketplaceConfig
from components.marketplace.occupations import Occupations, abbreviate, build_occupations
from components.marketplace.words import (
    ACTIVITIES,
    CITIES,
    COMPANY_FORMS,
    COMPANY_SUFFIXES,
    COMPANY_WORDS,
    DEFAULT_ACTIVITY,
    FAMILIES,
    QUERY_LEVELS,
    TITLE_LEVELS,
)

LEVELS = len(TITLE_LEVELS)
STYLES = 2
INDUSTRIES = tuple(COMPANY_SUFFIXES)
REMOTE_CITY = len(CITIES)
RESULTS = 24
ANY = -1

# The ways to put a goal into words, from broad to narrow.
FORMS = (
    "head",
    "domain",
    "name",
    "activity",
    "short",
    "speciality head",
    "speciality domain",
    "speciality name",
    "tool",
    "tool head",
    "tools",
    "craft",
    "level name",
    "level speciality",
)


@dataclass(frozen=True, slots=True)
class Postings:
    """Distinct (company, title) entities; all arrays have one element per posting."""

    occupation: NDArray[np.int64]
    speciality: NDArray[np.int64]
    level: NDArray[np.int64]
    company: NDArray[np.int64]
    industry: NDArray[np.int64]
    city: NDArray[np.int64]
    weight: NDArray[np.float64]
    titles: list[str]

    @property
    def alike(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and past-the-last posting of each posting's occupation and speciality."""
        key = self.occupation * (self.speciality.max() + 1) + self.speciality
        return np.searchsorted(key, key), np.searchsorted(key, key, side="right")


@dataclass(frozen=True, slots=True)
class Queries:
    """Distinct query texts and what they mean.

    Attributes:
        texts: the queries.
        forms: query of (occupation, speciality, level, form, style), int32[O, S, 4, 14, 2].
        results: postings a search for the query may show, best first, int32[Q, RESULTS].
        meaning: rows (query, occupation, speciality or -1, level or -1, form), int32[N, 5].
    """

    texts: list[str]
    forms: NDArray[np.int32]
    results: NDArray[np.int32]
    meaning: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What members of a marketplace may look for.

    Attributes:
        results: postings for a goal, best first: int32[O, S + 1, 5, RESULTS]; the last speciality
            and the last level stand for "any".
    """

    occupations: Occupations
    skills: list[list[list[str]]]
    companies: list[str]
    company_industry: NDArray[np.int64]
    postings: Postings
    results: NDArray[np.int32]
    queries: Queries


def build_catalogue(config: MarketplaceConfig, *, seed: int) -> Catalogue:
    """Build the catalogue; the same sizes and seed give the same one."""
    rng = np.random.default_rng([seed, 0xCA7A])
    occupations = build_occupations(config.occupations, config.specialities, rng)
    skills = _skills(occupations, rng)
    companies, industry = _companies(config.companies, rng)
    postings = _postings(config.postings, occupations, industry, rng)
    results = _results(occupations, postings)
    queries = _queries(occupations, skills, results)
    return Catalogue(occupations, skills, companies, industry, postings, results, queries)


def _skills(occupations: Occupations, rng: np.random.Generator) -> list[list[list[str]]]:
    """Per speciality: its domain's tool, its own tool, and its craft ("clinical analysis")."""
    families = list(FAMILIES.values())

    def tool(text: str, family: int) -> str:
        tools = families[family][2].split("|")
        return chosen.setdefault((text, family), tools[rng.integers(len(tools))])

    chosen: dict[tuple[str, int], str] = {}
    skills = []
    rows = zip(occupations.domains, occupations.heads, occupations.families, strict=True)
    for (domain, head, family), specialities in zip(rows, occupations.specialities, strict=True):
        activity = ACTIVITIES.get(head, DEFAULT_ACTIVITY)
        skills.append(
            [[tool(domain, family), tool(s, family), f"{s} {activity}"] for s in specialities]
        )
    return skills


def _companies(count: int, rng: np.random.Generator) -> tuple[list[str], NDArray[np.int64]]:
    industry = rng.permutation(np.arange(count) % len(INDUSTRIES))
    names: dict[str, None] = {}
    for number in industry:
        suffixes = COMPANY_SUFFIXES[INDUSTRIES[number]].split()
        name = None
        while name is None or name in names:
            word, other = rng.choice(COMPANY_WORDS, 2, replace=False)
            first = word if rng.random() < 0.6 else f"{word} {other}"
            name = f"{first} {rng.choice(suffixes)}{rng.choice(COMPANY_FORMS, p=COMPANY_ODDS)}"
        names[name] = None
    return list(names), industry


COMPANY_ODDS = (0.5, 0.2, 0.1, 0.1, 0.1)


def _postings(
    count: int, occupations: Occupations, industry: NDArray[np.int64], rng: np.random.Generator
) -> Postings:
    number = len(occupations.heads)
    share = occupations.popularity**0.7
    occupation = np.sort(
        np.concatenate(
            [
                np.arange(number),
                rng.choice(number, max(count - number, 0), p=share / share.sum()),
            ]
        )
    )
    total = len(occupation)
    speciality = draw(rng, occupations.speciality_shares[occupation])
    level = rng.choice(LEVELS, total, p=(0.2, 0.4, 0.28, 0.12))
    home = occupations.families[occupation] * 2 + rng.integers(0, 2, total)
    wanted = np.where(rng.random(total) < 0.85, home, rng.integers(0, len(INDUSTRIES), total))
    size = rng.permutation(len(industry)) + 1.0
    company = np.empty(total, np.int64)
    for value in range(len(INDUSTRIES)):
        here, members = np.flatnonzero(wanted == value), np.flatnonzero(industry == value)
        odds = size[members] ** -0.5
        company[here] = rng.choice(members, len(here), p=odds / odds.sum())
    city = np.where(
        rng.random(total) < 0.2, REMOTE_CITY, (len(CITIES) * rng.random(total) ** 2).astype(int)
    )
    titles = [
        _title(occupations, o, s, z, rng.random(3))
        for o, s, z in zip(occupation, speciality, level, strict=True)
    ]
    keys = dict.fromkeys(zip(company.tolist(), titles, strict=True))
    first = {
        key: i for i, key in reversed(list(enumerate(zip(company.tolist(), titles, strict=True))))
    }
    keep = np.array([first[key] for key in keys])
    keep = keep[np.lexsort((keep, speciality[keep], occupation[keep]))]
    weight = rng.pareto(1.3, total) + 0.2
    return Postings(
        occupation=occupation[keep],
        speciality=speciality[keep],
        level=level[keep],
        company=company[keep],
        industry=industry[company[keep]],
        city=city[keep],
        weight=weight[keep],
        titles=[titles[i] for i in keep],
    )


def _title(occupations: Occupations, o: int, s: int, z: int, luck: NDArray[np.float64]) -> str:
    name = f"{occupations.domains[o]} {occupations.heads[o]}"
    special = occupations.specialities[o][s]
    plain = [occupations.titles[o][s], occupations.titles[o][s], f"{name}, {special}", name]
    return TITLE_LEVELS[z][int(luck[0] * 4)].format(_capitals(plain[int(luck[1] ** 1.2 * 4)]))


def _capitals(text: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in text.split())


def _results(occupations: Occupations, postings: Postings) -> NDArray[np.int32]:
    """Rank each occupation's postings for every goal; related occupations fill the rest.

    A quarter of the later places go to the closest occupations in any case, as a search engine's
    recall does.
    """
    number, specialities = occupations.speciality_ids.shape
    results = np.empty((number, specialities + 1, LEVELS + 1, RESULTS), np.int32)
    starts = np.searchsorted(postings.occupation, np.arange(number + 1))
    popular = [
        starts[o] + np.argsort(-postings.weight[starts[o] : starts[o + 1]], kind="stable")
        for o in range(number)
    ]
    for o in range(number):
        own = np.arange(starts[o], starts[o + 1])
        others = np.concatenate([popular[n][:8] for n in occupations.neighbours[o]])
        for s in range(specialities + 1):
            for z in range(LEVELS + 1):
                score = np.log(postings.weight[own])
                score = score + 3.0 * (postings.speciality[own] == s)
                if z < LEVELS:
                    score = score - 1.0 * np.abs(postings.level[own] - z)
                best = own[np.argsort(-score, kind="stable")][: RESULTS - RESULTS // 4]
                rest = RESULTS - len(best)
                fill = np.resize(others, rest)
                merged = np.concatenate([best, fill])
                place = np.concatenate(
                    [np.arange(len(best)) * (1 + rest / len(best)), 6 + np.arange(rest) * 3.0]
                )
                results[o, s, z] = merged[np.argsort(place, kind="stable")]
    return results


def _queries(
    occupations: Occupations, skills: list[list[list[str]]], results: NDArray[np.int32]
) -> Queries:
    number, specialities = occupations.speciality_ids.shape
    forms = np.empty((number, specialities, LEVELS, len(FORMS), STYLES), np.int32)
    ids: dict[str, int] = {}
    meaning: dict[tuple[int, int, int, int, int], None] = {}
    for o in range(number):
        for s in range(specialities):
            for z in range(LEVELS):
                for style in range(STYLES):
                    phrases = _phrases(occupations, skills[o][s], o, s, z, style)
                    for form, (text, of_speciality, of_level) in enumerate(phrases):
                        query = ids.setdefault(text, len(ids))
                        forms[o, s, z, form, style] = query
                        key = (o, s if of_speciality else ANY, z if of_level else ANY)
                        meaning[query, *key, form] = None
    table = np.array(sorted(meaning), np.int32)
    return Queries(list(ids), forms, _merge_results(table, results, len(ids)), table)


def _phrases(
    occupations: Occupations, skills: list[str], o: int, s: int, z: int, style: int
) -> list[tuple[str, bool, bool]]:
    """The text of each of FORMS, and whether it says the speciality and the level."""
    domain, head = occupations.domains[o], occupations.heads[o]
    special = occupations.specialities[o][s]
    base, tool, craft = skills
    write = abbreviate if style else str
    activity = ACTIVITIES.get(head, DEFAULT_ACTIVITY)
    short = f"{domain[0]}{head[0]}" if style else f"{domain} {head} jobs"
    level = QUERY_LEVELS[z][style]
    return [
        (head, False, False),
        (domain, False, False),
        (write(f"{domain} {head}"), False, False),
        (write(f"{domain} {activity}"), False, False),
        (short, False, False),
        (write(f"{special} {head}"), True, False),
        (write(f"{special} {domain}"), True, False),
        (write(f"{special} {domain} {head}"), True, False),
        (tool, True, False),
        (f"{base} {write(head)}", False, False),
        (" ".join(dict.fromkeys((base, tool))), True, False),
        (write(craft), True, False),
        (f"{level} {write(f'{domain} {head}')}".strip(), False, bool(level)),
        (f"{level} {write(f'{special} {head}')}".strip(), True, bool(level)),
    ]


def _merge_results(
    meaning: NDArray[np.int32], results: NDArray[np.int32], count: int
) -> NDArray[np.int32]:
    """A query with several meanings shows their results in turn."""
    merged = np.empty((count, RESULTS), np.int32)
    starts = np.searchsorted(meaning[:, 0], np.arange(count + 1))
    places = np.arange(RESULTS)
    for query in range(count):
        rows = np.unique(meaning[starts[query] : starts[query + 1], 1:4], axis=0)
        merged[query] = results[
            rows[places % len(rows), 0], rows[places % len(rows), 1], rows[places % len(rows), 2]
        ][places, places // len(rows)]
    return merged


def draw(rng: np.random.Generator, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw one column per row with the row's probabilities, float64[n, k] to int64[n]."""
    edges = np.cumsum(shares, axis=1)
    return (
        (rng.random((len(shares), 1)) * edges[:, -1:] >= edges).sum(1).clip(max=shares.shape[1] - 1)
    )
