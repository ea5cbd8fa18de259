"""What a query or a title says about place, level and kind of work."""

from collections.abc import Iterable
from typing import NamedTuple

from components.features.words import words_of

LEVELS = ("", "entry", "middle", "senior", "lead", "head")
"""By code; 0 is not said."""

_LEVEL_WORDS = {
    "entry": "junior jr entry trainee intern internship graduate apprentice assistant i",
    "middle": "ii mid intermediate associate",
    "senior": "senior sr snr iii iv staff experienced",
    "lead": "lead principal chief team-lead supervisor",
    "head": "head director vp vice executive president",
}
LEVEL_OF = {
    word: LEVELS.index(level) for level, words in _LEVEL_WORDS.items() for word in words.split()
}
_KINDS_OF_WORK = ("part time", "full time", "contract", "temporary", "freelance", "permanent")
_FILLERS = ("jobs", "job", "near me", "vacancies", "hiring", "work from home")
_LONGEST_PHRASE = 4


class Said(NamedTuple):
    """What a query says.

    Attributes:
        core: its words without place, kind of work and fillers, or all of them if nothing is left.
        place: code of the place named, 0 for none.
        level: code of the level named, 0 for none.
        kind_of_work: whether it names a kind of work, such as "part time".
    """

    core: str
    place: int
    level: int
    kind_of_work: bool


def level_of(text: str) -> int:
    """Return the code of the first level word of a text, 0 if it has none."""
    return next((LEVEL_OF[word] for word in words_of(text) if word in LEVEL_OF), 0)


class PhraseReader:
    """Finds the places that the catalogue and the profiles know in queries.

    Args:
        places: their normalised names, by code from 1.
    """

    def __init__(self, places: Iterable[str]):
        names = (tuple(words_of(place)) for place in places)
        self._places = {name: code for code, name in enumerate(names, start=1) if name}
        self._kinds = {tuple(phrase.split()) for phrase in _KINDS_OF_WORK}
        self._fillers = {tuple(phrase.split()) for phrase in _FILLERS}

    def read(self, query: str) -> Said:
        """Split a query into its core and what it says beside."""
        words = words_of(query)
        core: list[str] = []
        place, kind_of_work, at = 0, False, 0
        while at < len(words):
            length = self._longest_phrase(words, at)
            if length == 0:
                core.append(words[at])
                at += 1
                continue
            phrase = tuple(words[at : at + length])
            place = place or self._places.get(phrase, 0)
            kind_of_work = kind_of_work or phrase in self._kinds
            at += length
        return Said(" ".join(core or words), place, level_of(query), kind_of_work)

    def _longest_phrase(self, words: list[str], at: int) -> int:
        for length in range(min(_LONGEST_PHRASE, len(words) - at), 0, -1):
            phrase = tuple(words[at : at + length])
            if phrase in self._places or phrase in self._kinds or phrase in self._fillers:
                return length
        return 0
