"""Settings of the baselines that read a member's queries in order: ACG, MNSRF, CARS, LostNet."""

from typing import Literal

from pydantic import Field

from components.encoder.config import OptimiserConfig, Precision


class SequenceConfig(OptimiserConfig):
    """Sizes and training of a sequence baseline; small, as the papers' own models are.

    Attributes:
        batch: queries of one step, about.
        accumulate: a step's queries go through at once.
        learning_rate: peak of AdamW.
        weight_decay: likewise.
        warmup: share of the steps in which the learning rate rises.
        gradient_norm: longest gradient; longer ones are scaled down.
        precision: of matrix products; these are too small for half precision to pay.
        epochs: passes over the training members' queries.
        hidden: units of each recurrent network, in either direction.
        dropout: on word vectors, while training.
        turns: most recent queries that a model sees; earlier ones are forgotten.
        clicks: postings after a query that count as clicked, the first ones.
        words: words of a query or a title that are read, the first ones.
        vocabulary: most frequent words of queries, and again of titles, that are known. A step
            holds a probability per query, place in it and word, several times over: with CARS, 500
            queries take 46 MB and 0.1 s of one core for every 1,000 words, so that the 1.3 million
            words of the paper would take 60 GB.
        minimum_count: occurrences below which a word is unknown.
        candidates: postings that each clicked one is ranked against.
        entropy: weight of the entropy of the decoder's words in the loss of MNSRF and CARS, which
            keeps it from being too sure of frequent words.
        hops: readings of LostNet's memory.
        beam: suggestions that the beam search keeps, and so how many a member gets.
    """

    batch: int = Field(default=512, ge=1)
    accumulate: Literal[1] = 1
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    warmup: float = Field(default=0.05, ge=0, le=1)
    gradient_norm: float = Field(default=5.0, gt=0)
    precision: Precision = "fp32"
    evaluations: int = Field(default=4, ge=1)
    epochs: float = Field(default=3.0, gt=0)
    hidden: int = Field(default=64, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    turns: int = Field(default=20, ge=2)
    clicks: int = Field(default=3, ge=1)
    words: int = Field(default=10, ge=1)
    vocabulary: int = Field(default=20_000, ge=1)
    minimum_count: int = Field(default=2, ge=1)
    candidates: int = Field(default=4, ge=1)
    entropy: float = Field(default=0.1, ge=0)
    hops: int = Field(default=3, ge=1)
    beam: int = Field(default=20, ge=1)
