"""Settings of the baselines that a learned model has to beat."""

from typing import Literal

from pydantic import Field

from components.config import Config


class FastTextConfig(Config):
    """How fastText skip-gram word vectors are trained; the paper's values, but for `loss`.

    Attributes:
        dimension: length of a word vector.
        learning_rate: at the start; falls linearly to 0.
        epochs: passes over the corpus.
        window: most words to either side that a word predicts.
        minimum_count: occurrences below which a word, or a company phrase, has no vector.
        loss: "softmax" over the whole vocabulary, as the paper names it, at a cost per word that
            grows with the vocabulary (one core: about 500 words of the corpus a second at 5,000
            words and 100 dimensions); "hs", a softmax factored over a Huffman tree of the words
            (about 160,000 a second); "ns", negative sampling.
        subsampling: share of the corpus above which a word's occurrences are thinned out.
        threads: fastText's threads write to the same vectors without locks, so that two runs give
            equal vectors only with one thread.
    """

    dimension: int = Field(default=300, ge=1, le=4096)
    learning_rate: float = Field(default=0.08, gt=0, le=10)
    epochs: int = Field(default=5, ge=1, le=1000)
    window: int = Field(default=5, ge=1, le=1000)
    minimum_count: int = Field(default=2, ge=1)
    loss: Literal["softmax", "hs", "ns"] = "hs"
    subsampling: float = Field(default=1e-4, gt=0, le=1)
    threads: int = Field(default=1, ge=1, le=1024)
