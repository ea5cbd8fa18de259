"""How goals are put into words, and what a search engine shows for the words."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.marketplace.occupations import Occupations, abbreviate
from components.marketplace.postings import LEVELS, Postings
from components.marketplace.words import ACTIVITIES, DEFAULT_ACTIVITY, FAMILIES, QUERY_LEVELS

STYLES = 2
RESULTS = 24
RELATED_RESULTS = RESULTS // 4
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
class Queries:
    """Distinct query texts and what they mean.

    Attributes:
        texts: the queries.
        forms: query of (occupation, speciality, level, form, style), int32[O, S, 4, 14, 2].
        results: postings that a search for the query may show, best first, int32[Q, RESULTS].
        meaning: rows (query, occupation, speciality or -1, level or -1, form), int32[N, 5].
    """

    texts: list[str]
    forms: NDArray[np.int32]
    results: NDArray[np.int32]
    meaning: NDArray[np.int32]


def build_skills(occupations: Occupations, rng: np.random.Generator) -> list[list[list[str]]]:
    """Three skills per speciality: its domain's tool, its own tool, its craft ("web testing").

    Tools belong to words within a family of occupations, so occupations that share a domain or a
    speciality share its tool.
    """
    families = list(FAMILIES.values())
    chosen: dict[tuple[str, int], str] = {}

    def tool(text: str, family: int) -> str:
        tools = families[family][2].split("|")
        return chosen.setdefault((text, family), tools[rng.integers(len(tools))])

    return [
        [
            [tool(domain, family), tool(special, family), f"{special} {_activity(head)}"]
            for special in specialities
        ]
        for domain, head, family, specialities in zip(
            occupations.domains,
            occupations.heads,
            occupations.families.tolist(),
            occupations.specialities,
            strict=True,
        )
    ]


def rank_postings(occupations: Occupations, postings: Postings) -> NDArray[np.int32]:
    """Rank each occupation's postings for every goal.

    A quarter of the places, all but the first few, go to the closest occupations, as a search
    engine's recall does.

    Returns:
        int32[O, S + 1, LEVELS + 1, RESULTS]; the last speciality and level stand for "any".
    """
    number, specialities = occupations.speciality_ids.shape
    results = np.empty((number, specialities + 1, LEVELS + 1, RESULTS), np.int32)
    starts = np.searchsorted(postings.occupation, np.arange(number + 1))
    owns = [np.arange(starts[o], starts[o + 1]) for o in range(number)]
    popular = [own[np.argsort(-postings.weight[own], kind="stable")[:8]] for own in owns]
    for o, own in enumerate(owns):
        related = np.concatenate([popular[n] for n in occupations.neighbours[o]])
        for s in range(specialities + 1):
            score = np.log(postings.weight[own]) + 3.0 * (postings.speciality[own] == s)
            for z in range(LEVELS + 1):
                apart = np.abs(postings.level[own] - z) if z < LEVELS else 0
                best = own[np.argsort(apart - score, kind="stable")]
                results[o, s, z] = _mixed(best[: RESULTS - RELATED_RESULTS], related)
    return results


def _mixed(own: NDArray[np.int64], related: NDArray[np.int64]) -> NDArray[np.int64]:
    fill = np.resize(related, RESULTS - len(own))
    own_places = np.arange(len(own)) * RESULTS / max(len(own), 1)
    places = np.concatenate([own_places, RELATED_RESULTS + np.arange(len(fill)) * 3.0])
    return np.concatenate([own, fill])[np.argsort(places, kind="stable")]


def build_queries(
    occupations: Occupations, skills: list[list[list[str]]], ranked: NDArray[np.int32]
) -> Queries:
    """Write every goal in every form and style; equal texts are one query with many meanings."""
    number, specialities = occupations.speciality_ids.shape
    shape = (number, specialities, LEVELS, STYLES)
    forms = np.empty((number, specialities, LEVELS, len(FORMS), STYLES), np.int32)
    ids: dict[str, int] = {}
    meaning: set[tuple[int, ...]] = set()
    for o, s, z, style in np.ndindex(shape):
        phrases = _phrases(occupations, skills[o][s], goal=(o, s, z), style=style)
        for form, (text, of_speciality, of_level) in enumerate(phrases):
            query = ids.setdefault(text, len(ids))
            forms[o, s, z, form, style] = query
            meaning.add((query, o, s if of_speciality else ANY, z if of_level else ANY, form))
    table = np.array(sorted(meaning), np.int32)
    return Queries(list(ids), forms, _results(table, ranked, len(ids)), table)


def _phrases(
    occupations: Occupations, skills: list[str], *, goal: tuple[int, int, int], style: int
) -> list[tuple[str, bool, bool]]:
    """The text of each of FORMS, and whether it says the speciality and the level."""
    o, s, z = goal
    domain, head, name = occupations.domains[o], occupations.heads[o], occupations.names[o]
    special = occupations.specialities[o][s]
    base, tool, craft = skills
    write = abbreviate if style else str
    level = QUERY_LEVELS[z][style]
    return [
        (head, False, False),
        (domain, False, False),
        (write(name), False, False),
        (write(f"{domain} {_activity(head)}"), False, False),
        (domain[0] + head[0] if style else f"{name} jobs", False, False),
        (write(f"{special} {head}"), True, False),
        (write(f"{special} {domain}"), True, False),
        (write(f"{special} {name}"), True, False),
        (tool, True, False),
        (f"{base} {write(head)}", False, False),
        (" ".join(dict.fromkeys((base, tool))), True, False),
        (write(craft), True, False),
        (f"{level} {write(name)}".strip(), False, bool(level)),
        (f"{level} {write(f'{special} {head}')}".strip(), True, bool(level)),
    ]


def _activity(head: str) -> str:
    return ACTIVITIES.get(head, DEFAULT_ACTIVITY)


def _results(
    meaning: NDArray[np.int32], ranked: NDArray[np.int32], count: int
) -> NDArray[np.int32]:
    """A query with several meanings shows their results in turn."""
    goals = np.unique(meaning[:, :4], axis=0)
    starts = np.searchsorted(goals[:, 0], np.arange(count))
    meanings = np.diff(np.append(starts, len(goals)))
    places = np.arange(RESULTS)
    row = starts[:, None] + places % meanings[:, None]
    # -1, "any", is the last index of its axis.
    return ranked[goals[row, 1], goals[row, 2], goals[row, 3], places // meanings[:, None]]
