"""Titles and skills of postings, numbered, and texts rewritten to them.

A title is a set of words: those of a posting's title without words of level and punctuation, so
that "Sr Project Manager, Security" and "Security Project Manager II" are one. A posting has every
known title whose words are among its own, "project manager" besides "security project manager",
and, so that a bare "technician" means something, the last word of its title.

Attributes are numbered in one row, titles before skills; clauses name them as `titleId:335` and
`skillId:986`, each counted from 0 among its kind.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Self

import pyarrow as pa
import pyarrow.feather as feather

from components.candidates.errors import CandidatesError
from components.features.phrases import LEVEL_OF, PhraseReader
from components.features.words import words_of
from components.text.render import normalise

TITLE, SKILL = "title", "skill"
TABLE, PLACES = "attributes.arrow", "places.arrow"
_LEVEL_WORDS = {*LEVEL_OF, "level"}
_LEVEL_HEADS = {"assistant", "associate", "executive", "president", "director", "supervisor"}
_STEM = 5
_CLOSE_ENOUGH = 0.3
_SHORTEST = 2
_REMEMBERED = 100_000


class Rewritten(NamedTuple):
    """What a text says.

    Attributes:
        titles: attributes, the one that says most first.
        skills: attributes, likewise.
    """

    titles: tuple[int, ...]
    skills: tuple[int, ...]


class Attributes:
    """The titles and skills that have an id.

    Args:
        titles: text of each title.
        skills: text of each skill.
        counts: postings of each, titles before skills.
        places: normalised names, which a query may hold besides.
    """

    def __init__(
        self,
        titles: Sequence[str],
        skills: Sequence[str],
        counts: Sequence[int],
        places: Sequence[str],
    ):
        self.titles, self.skills, self.counts = list(titles), list(skills), list(counts)
        self._places, self._phrases = list(places), PhraseReader(places)
        self._skill = {text: len(self.titles) + at for at, text in enumerate(self.skills)}
        self._longest_skill = max((len(words_of(text)) for text in self.skills), default=0)
        self._skill_words = {word for text in self.skills for word in words_of(text)}
        self._words = [frozenset(text.split()) for text in self.titles]
        self._by_word: dict[str, list[int]] = {}
        self._by_stem: dict[str, list[int]] = {}
        spoken: Counter[str] = Counter()
        for at, words in enumerate(self._words):
            for word in words:
                self._by_word.setdefault(word, []).append(at)
                spoken[word] += self.counts[at]
            for stem in _stems(words):
                self._by_stem.setdefault(stem, []).append(at)
        self._frequent = [word for word, _ in spoken.most_common()]
        # Members ask for the same things again and again, in other places.
        self._titled = lru_cache(_REMEMBERED)(self._find_titles)
        self._read = lru_cache(_REMEMBERED)(self._read_words)
        self._spelled_out = lru_cache(_REMEMBERED)(self._spell_out)

    def __len__(self) -> int:
        return len(self.titles) + len(self.skills)

    @classmethod
    def learn(
        cls,
        titles: Sequence[str | None],
        skills: Sequence[Sequence[str | None] | None],
        places: Iterable[str],
        *,
        minimum: int,
    ) -> Self:
        """Number what at least `minimum` postings have, the most frequent first.

        Args:
            titles: of the postings.
            skills: of the postings.
            places: normalised names of places.
            minimum: postings.
        """
        postings = Counter(title for title in titles if title)
        spellings: dict[frozenset[str], Counter[str]] = {}
        for title, count in postings.items():
            words, head = _title_words(title)
            for text in dict.fromkeys(filter(None, (" ".join(words), head))):
                spellings.setdefault(frozenset(text.split()), Counter())[text] += count
        said = [(min(own.items(), key=_most)[0], own.total()) for own in spellings.values()]
        had = Counter(skill for own in skills for skill in skills_of(own))
        kept = [
            sorted((entry for entry in found if entry[1] >= minimum), key=_most)
            for found in (said, had.items())
        ]
        known_titles, known_skills = ([text for text, _ in entries] for entries in kept)
        counts = [count for entries in kept for _, count in entries]
        return cls(known_titles, known_skills, counts, sorted(places))

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            CandidatesError: a file is missing or damaged; names it.
        """
        try:
            table = feather.read_table(directory / TABLE)
            places = feather.read_table(directory / PLACES)["place"].to_pylist()
            kinds, texts = table["kind"].to_pylist(), table["text"].to_pylist()
            counts = table["postings"].to_pylist()
        except (OSError, KeyError, pa.ArrowException) as error:
            raise CandidatesError(f"{directory / TABLE}: missing or damaged: {error}") from error
        split = kinds.count(TITLE)
        return cls(texts[:split], texts[split:], counts, places)

    def save(self, directory: Path) -> None:
        """Write the vocabulary: kind, id among its kind, text and postings of each attribute."""
        kinds = [TITLE] * len(self.titles) + [SKILL] * len(self.skills)
        table = {
            "kind": kinds,
            "id": [*range(len(self.titles)), *range(len(self.skills))],
            "text": [*self.titles, *self.skills],
            "postings": self.counts,
        }
        feather.write_feather(pa.table(table), directory / TABLE)
        places = pa.table({"place": pa.array(self._places, pa.string())})
        feather.write_feather(places, directory / PLACES)

    def name(self, attribute: int) -> str:
        """Return `titleId:335` or `skillId:986`."""
        after = attribute - len(self.titles)
        return f"titleId:{attribute}" if after < 0 else f"skillId:{after}"

    def text(self, attribute: int) -> str:
        """Return an attribute in words."""
        after = attribute - len(self.titles)
        return self.titles[attribute] if after < 0 else self.skills[after]

    def of_title(self, title: str | None) -> tuple[int, ...]:
        """Return the titles that a posting of this title has, that of most words first."""
        return self._titled(title or "")

    def _find_titles(self, title: str) -> tuple[int, ...]:
        words, head = _title_words(title)
        own = frozenset(words)
        found = {at for word in own for at in self._by_word.get(word, ()) if self._words[at] <= own}
        # Any title may hold the word "security", but only a head noun is a title by itself.
        kept = [at for at in found if len(self._words[at]) > 1 or head in self._words[at]]
        return tuple(sorted(kept, key=lambda at: (-len(self._words[at]), at)))

    def of_skills(self, skills: Sequence[str | None] | None) -> tuple[int, ...]:
        """Return the known ones of a posting's skills."""
        known = (self._skill.get(skill, -1) for skill in skills_of(skills))
        return tuple(sorted(at for at in known if at >= 0))

    def rewrite(self, text: str) -> Rewritten:
        """Read an entity's words as the title, or titles, nearest to them and the skills they name.

        "tmt analyst" is the title "analyst" and the skill "tmt". A word that no title has is read
        as the one it abbreviates ("mgr"); "project management" is nearest to "project manager".
        """
        return self._read(self._phrases.read(normalise(text)).core)

    def _read_words(self, text: str) -> Rewritten:
        words = words_of(text)
        skills = dict(self._skills_in(words))
        spoken = {self._spelled_out(word) for word in words if word not in _LEVEL_WORDS}
        titles = self._nearest(spoken)
        if sum(skills.values()) == len(words):
            # "social media" is a skill, and no reason to think of social workers.
            titles = tuple(at for at in titles if self._words[at] <= spoken)
        return Rewritten(titles, tuple(skills))

    def _skills_in(self, words: list[str]) -> Iterator[tuple[int, int]]:
        """Yield the skills that a text names, the longest first, and their numbers of words."""
        at = 0
        while at < len(words):
            longest = min(self._longest_skill, len(words) - at)
            for length in range(longest, 0, -1):
                skill = self._skill.get(" ".join(words[at : at + length]))
                if skill is not None:
                    yield skill, length
                    at += length - 1
                    break
            at += 1

    def _nearest(self, words: set[str]) -> tuple[int, ...]:
        near = {at for word in words for at in self._by_stem.get(_stem(word), ())}
        closeness = {at: self._closeness(words, at) for at in near}
        best = max(closeness.values(), default=0.0)
        if best < _CLOSE_ENOUGH:
            return ()
        return (min(at for at, value in closeness.items() if value == best),)

    def _closeness(self, words: set[str], title: int) -> float:
        """Return the share of words that a text and a title share, half for those of one stem."""
        own = self._words[title]
        shared = words & own
        alike = len(_stems(words - shared) & _stems(own - shared))
        return (len(shared) + 0.5 * alike) / (len(words | own) - alike)

    def _spell_out(self, word: str) -> str:
        """Return the most frequent word of titles that a word abbreviates, or the word itself."""
        if word in self._by_word or word in self._skill_words or len(word) < _SHORTEST:
            return word
        begun = (full for full in self._frequent if full.startswith(word))
        shortened = (full for full in self._frequent if _abbreviates(word, full))
        return next(begun, None) or next(shortened, None) or word


def skills_of(skills: Sequence[str | None] | None) -> list[str]:
    """Return a posting's distinct normalised skills, in order."""
    return list(dict.fromkeys(filter(None, (normalise(skill) for skill in skills or () if skill))))


def _title_words(title: str) -> tuple[list[str], str]:
    """Return the words of a title without those of level, and its head noun."""
    words = words_of(title)
    said = words_of(title.partition(",")[0]) or words
    plain = [word for word in words if word not in _LEVEL_WORDS]
    if said and said[-1] in _LEVEL_HEADS:
        plain.append(said[-1])
    plain = list(dict.fromkeys(plain)) or words
    return plain, next((word for word in reversed(said) if word in plain), "")


def _stems(words: Iterable[str]) -> set[str]:
    return {_stem(word) for word in words}


def _stem(word: str) -> str:
    return word[:_STEM]


def _abbreviates(short: str, word: str) -> bool:
    letters = iter(word)
    return short[0] == word[0] and all(letter in letters for letter in short)


def _most(entry: tuple[str, int]) -> tuple[int, str]:
    return -entry[1], entry[0]
