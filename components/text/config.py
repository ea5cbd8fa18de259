"""Settings of the vocabulary and of the token documents."""

from typing import Literal

from pydantic import Field

from components.config import Config


class TextConfig(Config):
    """How texts become subword ids.

    Attributes:
        vocabulary_size: ids in all, special tokens, action types and the 256 bytes included; the
            vocabulary comes out smaller when the corpus has too few distinct words to merge.
        training_words: running words of the corpus that subword training sees; a larger corpus is
            scaled down to about this many, in proportion to the words' counts.
        sequence: what a document holds: every "action", or each "query" only.
        batch_rows: least number of action rows tokenised at once; bounds memory.
    """

    vocabulary_size: int = Field(default=16_000, ge=512, le=2_000_000)
    training_words: int = Field(default=20_000_000, ge=1_000)
    sequence: Literal["action", "query"] = "action"
    batch_rows: int = Field(default=500_000, ge=1)
