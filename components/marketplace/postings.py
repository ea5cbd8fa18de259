"""Employers and what they offer: distinct (company, title) entities."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.marketplace.draws import draw, zipf
from components.marketplace.occupations import Occupations
from components.marketplace.words import (
    CITIES,
    COMPANY_FORMS,
    COMPANY_SUFFIXES,
    COMPANY_WORDS,
    TITLE_LEVELS,
)

LEVELS = len(TITLE_LEVELS)
TEMPLATES = len(TITLE_LEVELS[0])
INDUSTRIES = tuple(COMPANY_SUFFIXES)
REMOTE_CITY = len(CITIES)

LEVEL_SHARES = (0.2, 0.4, 0.28, 0.12)
TITLE_FORM_SHARES = (0.33, 0.21, 0.23, 0.23)
COMPANY_FORM_SHARES = (0.5, 0.2, 0.1, 0.1, 0.1)
ONE_WORD_SHARE = 0.6
HOME_INDUSTRY_SHARE = 0.85
REMOTE_SHARE = 0.2
# Pareto exponent of how often a posting comes to the top of a list.
POPULARITY_TAIL = 1.3


@dataclass(frozen=True, slots=True)
class Companies:
    """Employers by number.

    Attributes:
        names: distinct, such as "Cedar Ridge Health LLC".
        industry: index into INDUSTRIES; the name's last words tell it.
    """

    names: list[str]
    industry: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Postings:
    """Distinct (company, title) entities in order of occupation and speciality.

    Attributes:
        occupation, speciality, level: what is offered.
        company: index into `Companies`; industry: its industry.
        city: index into CITIES, or REMOTE_CITY.
        title: index into `titles`.
        weight: how readily it comes to the top of a list.
        first_alike: first posting of the same occupation and speciality.
        alike: how many there are of the same occupation and speciality.
        titles: distinct titles as employers print them.
    """

    occupation: NDArray[np.int64]
    speciality: NDArray[np.int64]
    level: NDArray[np.int64]
    company: NDArray[np.int64]
    industry: NDArray[np.int64]
    city: NDArray[np.int64]
    title: NDArray[np.int64]
    weight: NDArray[np.float64]
    first_alike: NDArray[np.int64]
    alike: NDArray[np.int64]
    titles: list[str]

    def __len__(self) -> int:
        return len(self.occupation)


def build_companies(count: int, rng: np.random.Generator) -> Companies:
    """Name `count` employers, spread evenly over the industries."""
    industry = rng.permutation(np.arange(count) % len(INDUSTRIES))
    names: dict[str, None] = {}
    for number in industry:
        suffixes = COMPANY_SUFFIXES[INDUSTRIES[number]].split()
        name = None
        while name is None or name in names:
            word, other = rng.choice(COMPANY_WORDS, 2, replace=False)
            first = word if rng.random() < ONE_WORD_SHARE else f"{word} {other}"
            form = rng.choice(COMPANY_FORMS, p=COMPANY_FORM_SHARES)
            name = f"{first} {rng.choice(suffixes)}{form}"
        names[name] = None
    return Companies(list(names), industry)


def build_postings(
    count: int, occupations: Occupations, companies: Companies, *, rng: np.random.Generator
) -> Postings:
    """Draw postings for every occupation: `count`, less those that would be the same."""
    occupation = _occupations(count, occupations, rng)
    speciality = draw(rng, occupations.speciality_shares[occupation])
    level = rng.choice(LEVELS, count, p=LEVEL_SHARES)
    company = _employers(occupations.families[occupation], companies, rng)
    title, titles = _titles(occupations, np.stack([occupation, speciality, level]), rng)
    city = (len(CITIES) * rng.random(count) ** 2).astype(np.int64)
    city[rng.random(count) < REMOTE_SHARE] = REMOTE_CITY
    weight = rng.pareto(POPULARITY_TAIL, count) + 0.2

    _, keep = np.unique(company * len(titles) + title, return_index=True)
    keep = keep[np.lexsort((keep, speciality[keep], occupation[keep]))]
    kind = (occupation * occupations.speciality_ids.shape[1] + speciality)[keep]
    first_alike = np.searchsorted(kind, kind)
    return Postings(
        occupation=occupation[keep],
        speciality=speciality[keep],
        level=level[keep],
        company=company[keep],
        industry=companies.industry[company[keep]],
        city=city[keep],
        title=title[keep],
        weight=weight[keep],
        first_alike=first_alike,
        alike=np.searchsorted(kind, kind, side="right") - first_alike,
        titles=titles,
    )


def _occupations(
    count: int, occupations: Occupations, rng: np.random.Generator
) -> NDArray[np.int64]:
    every = np.arange(len(occupations.heads))
    share = occupations.popularity**0.7
    more = rng.choice(every, count - len(every), p=share / share.sum())
    return np.concatenate([every, more])


def _employers(
    families: NDArray[np.int64], companies: Companies, rng: np.random.Generator
) -> NDArray[np.int64]:
    count = len(families)
    elsewhere = rng.random(count) >= HOME_INDUSTRY_SHARE
    industry = 2 * families + rng.integers(0, 2, count)
    industry[elsewhere] = rng.integers(0, len(INDUSTRIES), elsewhere.sum())
    company = np.empty(count, np.int64)
    for number in range(len(INDUSTRIES)):
        here = np.flatnonzero(industry == number)
        employers = np.flatnonzero(companies.industry == number)
        company[here] = rng.choice(employers, len(here), p=zipf(np.arange(len(employers)), 0.5))
    return company


def _titles(
    occupations: Occupations, offered: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], list[str]]:
    """A title for each (occupation, speciality, level), as an index of distinct titles."""
    count = offered.shape[1]
    template = rng.integers(0, TEMPLATES, count)
    form = rng.choice(len(TITLE_FORM_SHARES), count, p=TITLE_FORM_SHARES)
    kinds, kind = np.unique(np.stack([*offered, template, form]), axis=1, return_inverse=True)
    texts = [_title(occupations, *column) for column in kinds.T.tolist()]
    titles = sorted(set(texts))
    number = {text: i for i, text in enumerate(titles)}
    return np.array([number[text] for text in texts])[kind.ravel()], titles


def _title(occupations: Occupations, o: int, s: int, z: int, template: int, form: int) -> str:
    name, special = occupations.names[o], occupations.specialities[o][s]
    plain = (occupations.titles[o][s], f"{special} {name}", f"{name}, {special}", name)[form]
    capitals = " ".join(word[:1].upper() + word[1:] for word in plain.split())
    return TITLE_LEVELS[z][template].format(capitals)
