"""Occupations read off 74K real job titles: a domain word and a head noun many titles share."""

import gzip
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.marketplace.draws import zipf
from components.marketplace.errors import MarketplaceError
from components.marketplace.words import ABBREVIATIONS, FAMILIES, LEVEL_WORDS

PLAIN = re.compile(r"[a-z+#.]+( [a-z+#.]+){1,3}")
FEWEST_TITLES = 5
LARGEST_HEAD_SHARE = 0.1
NEIGHBOURS = 6


@dataclass(frozen=True, slots=True)
class Occupations:
    """The occupations of one marketplace; `O` of them, with `S` specialities each.

    Attributes:
        names: domain and head ("data analyst"), a real title.
        domains: the word that says what the work is about ("data").
        heads: the noun that says what the worker does ("analyst").
        families: index into `FAMILIES` per occupation, int64[O].
        specialities: words of a speciality, per occupation ("clinical"), O lists of S.
        titles: the real title of each speciality ("clinical data analyst"), O lists of S.
        speciality_ids: equal where two occupations share a speciality's words, int64[O, S].
        popularity: share of members with the occupation as first goal, float64[O].
        speciality_shares: share of each speciality within its occupation, float64[O, S].
        closeness: how alike two occupations' words are, 0 to 1, float32[O, O].
        neighbours: the closest other occupations, closest first, int64[O, 6].
        steps: probability that a member leaving an occupation takes each neighbour, float64[O, 6].
    """

    names: list[str]
    domains: list[str]
    heads: list[str]
    families: NDArray[np.int64]
    specialities: list[list[str]]
    titles: list[list[str]]
    speciality_ids: NDArray[np.int64]
    popularity: NDArray[np.float64]
    speciality_shares: NDArray[np.float64]
    closeness: NDArray[np.float32]
    neighbours: NDArray[np.int64]
    steps: NDArray[np.float64]


def read_titles() -> list[str]:
    """Real job titles, lower case, distinct and sorted (find-job-titles, used as data)."""
    # Found, not imported: its code needs pkg_resources, which today's setuptools no longer has.
    spec = find_spec("find_job_titles")
    if spec is None or spec.origin is None:
        raise MarketplaceError("the package find-job-titles is not installed: run `make install`")
    packed = Path(spec.origin).with_name("data").joinpath("titles_combined.txt.gz").read_bytes()
    return sorted({line.strip().lower() for line in gzip.decompress(packed).decode().splitlines()})


def build_occupations(count: int, specialities: int, *, rng: np.random.Generator) -> Occupations:
    """Group the titles into `count` occupations and relate them to each other.

    A title belongs to its head noun (the last word) and to that of its other words which the
    head's titles share most often. Occupations are the largest such groups whose bare name is a
    title itself; words that say a level ("senior") never name an occupation.
    """
    groups = _largest(_group_titles(), count)
    keys = list(groups)
    words = _speciality_words(groups)
    chosen = [_choose(key, words, count=specialities, rng=rng) for key in keys]
    texts = [[text for text, _ in row] for row in chosen]
    ids = {text: number for number, text in enumerate(sorted({t for row in texts for t in row}))}
    closeness = _closeness(keys, groups)
    others = closeness - 2 * np.eye(len(keys), dtype=np.float32)
    neighbours = np.argsort(-others, axis=1, kind="stable")[:, :NEIGHBOURS]
    return Occupations(
        names=[" ".join(key) for key in keys],
        domains=[domain for domain, _ in keys],
        heads=[head for _, head in keys],
        families=np.array([_family(key) for key in keys]),
        specialities=texts,
        titles=[[title for _, title in row] for row in chosen],
        speciality_ids=np.array([[ids[text] for text in row] for row in texts]),
        popularity=zipf(rng.permutation(len(keys)), 0.6),
        speciality_shares=np.tile(zipf(np.arange(specialities), 0.6), (len(keys), 1)),
        closeness=closeness,
        neighbours=neighbours,
        steps=np.tile(zipf(np.arange(NEIGHBOURS), 1.6), (len(keys), 1)),
    )


Key = tuple[str, str]
Groups = dict[Key, list[str]]


@cache
def _group_titles() -> Groups:
    parsed = []
    shared: Counter[Key] = Counter()
    for title in read_titles():
        if not PLAIN.fullmatch(title):
            continue
        *before, head = title.split()
        domains = {word for word in before if word not in LEVEL_WORDS}
        if head in LEVEL_WORDS or not domains:
            continue
        parsed.append((title, head, domains))
        shared.update((domain, head) for domain in domains)
    groups: Groups = defaultdict(list)
    for title, head, domains in parsed:
        groups[max((shared[d, head], d) for d in domains)[1], head].append(title)
    return groups


def _largest(groups: Groups, count: int) -> Groups:
    whole = {k: v for k, v in groups.items() if len(v) >= FEWEST_TITLES and " ".join(k) in v}
    per_head: Counter[str] = Counter()
    most = max(2, int(count * LARGEST_HEAD_SHARE))
    kept: Groups = {}
    for key in sorted(whole, key=lambda key: (-len(whole[key]), key)):
        if per_head[key[1]] < most and len(kept) < count:
            per_head[key[1]] += 1
            kept[key] = whole[key]
    return kept


def _speciality_words(groups: Groups) -> dict[Key, dict[str, str]]:
    """Speciality words of each occupation, with the shortest real title that has them."""
    found: dict[Key, dict[str, str]] = {}
    for key, titles in groups.items():
        named = found.setdefault(key, {})
        for title in sorted(titles, key=lambda title: (len(title), title)):
            rest = [w for w in title.split() if w not in key and w not in LEVEL_WORDS]
            if 1 <= len(rest) <= 2:
                named.setdefault(" ".join(rest), title)
    return found


def _choose(
    key: Key, words: dict[Key, dict[str, str]], *, count: int, rng: np.random.Generator
) -> list[tuple[str, str]]:
    """Prefer specialities that other occupations have too; borrow when there are too few."""
    spread = Counter(word for named in words.values() for word in named)
    own = words[key]
    relatives = {text for other in words if set(other) & set(key) for text in words[other]}
    picked: dict[str, str] = {}
    for texts in (set(own), relatives, set(spread)):
        new = sorted(texts.difference(picked, key))
        order = sorted(new, key=lambda text: -spread[text] * rng.random() ** 0.5)
        for text in order[: count - len(picked)]:
            picked[text] = own.get(text, f"{text} {' '.join(key)}")
    return list(picked.items())


def _family(key: Key) -> int:
    scores = [sum(2 - i for i, w in enumerate(key) if w in f[0].split()) for f in FAMILIES.values()]
    return int(np.argmax(scores)) if max(scores) else len(FAMILIES) - 1


def _closeness(keys: list[Key], groups: Groups) -> NDArray[np.float32]:
    words = sorted(
        {word for titles in groups.values() for title in titles for word in title.split()}
    )
    column = {word: i for i, word in enumerate(words)}
    counts = np.zeros((len(keys), len(words)), np.float32)
    for row, key in enumerate(keys):
        for title in groups[key]:
            for word in title.split():
                if word not in key:
                    counts[row, column[word]] += 1
    weights = np.sqrt(counts) * np.log(len(keys) / np.maximum((counts > 0).sum(0), 1))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True) + 1e-9
    domains, heads = np.array(keys).T
    families = np.array([_family(key) for key in keys])
    close = weights @ weights.T
    close += 0.5 * (domains[:, None] == domains) + 0.2 * (heads[:, None] == heads)
    close += 0.15 * (families[:, None] == families)
    np.fill_diagonal(close, 0)
    close /= close.max()
    np.fill_diagonal(close, 1)
    # Rounded, so that a processor's order of summation decides no tie.
    return close.round(4)


def abbreviate(text: str) -> str:
    """Write `text` the short way: "software engineer" becomes "sw eng"."""
    return " ".join(ABBREVIATIONS.get(word, word) for word in text.split())
