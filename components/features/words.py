"""Words of short texts, and their ids."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from components.features.errors import FeaturesError
from components.text.render import normalise

PADDING, UNKNOWN = 0, 1
_RESERVED = ("", "<unknown>")
_PUNCTUATION = ",.;:!?()[]{}\"'|/-_"


def words_of(text: str | None) -> list[str]:
    """Return the words of a text in lower case, without the punctuation around them."""
    stripped = (word.strip(_PUNCTUATION) for word in normalise(text or "").split())
    return [word for word in stripped if word]


class WordIds:
    """The words that have an id: 0 is padding, 1 is every other word.

    Attributes:
        words: by id.
    """

    def __init__(self, words: Sequence[str]):
        self.words = list(words)
        self._ids = {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def learn(cls, texts: Iterable[str], *, minimum: int, most: int) -> Self:
        """Give ids to the words of at least `minimum` texts, the most frequent first."""
        counts = Counter(word for text in texts for word in set(words_of(text)))
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        frequent = [word for word, count in ordered if count >= minimum]
        return cls([*_RESERVED, *frequent[: most - len(_RESERVED)]])

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            FeaturesError: the file is missing or is not a list of words.
        """
        try:
            words = path.read_text(encoding="utf-8").split("\n")[:-1]
        except (OSError, UnicodeDecodeError) as error:
            raise FeaturesError(f"{path}: missing or damaged: {error}") from error
        if tuple(words[:2]) != _RESERVED or len(set(words)) < len(words):
            raise FeaturesError(f"{path}: is not a list of distinct words that begins with padding")
        return cls(words)

    def save(self, path: Path) -> None:
        """Write one word per line; line i, from 0, is the word with id i."""
        path.write_text("".join(f"{word}\n" for word in self.words), encoding="utf-8")

    def encode(self, texts: Sequence[str | None], width: int) -> NDArray[np.int32]:
        """Return the ids of each text's first `width` words, int32[n, width], 0 after the last."""
        ids = np.zeros((len(texts), width), np.int32)
        for row, text in enumerate(texts):
            found = [self._ids.get(word, UNKNOWN) for word in words_of(text)[:width]]
            ids[row, : len(found)] = found
        return ids
