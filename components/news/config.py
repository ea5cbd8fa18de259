"""How news are ranked by pairs of vectors."""

from typing import Literal

from pydantic import Field

from components.config import Config

Combination = Literal["u*v", "u,v,u*v", "u,v,|u-v|"]
COMBINATIONS: tuple[Combination, ...] = ("u*v", "u,v,u*v", "u,v,|u-v|")
"""How a member's vector u and an item's vector v meet, in the order of the paper's Table 9."""


class NewsConfig(Config):
    """Shape and training of the rankers of news; sizes are the paper's (Appendix A).

    The paper leaves open the optimiser, regularisation, and when training is best stopped.

    Attributes:
        combinations: of the two vectors; a ranker is trained of each.
        history: clicks before an impression, the most recent, that a member's vector is made of.
        negatives: items beside each clicked one that were shown with it and not clicked.
        units: of the fully connected layers.
        dropout: after each of them.
        learning_rate: of Adagrad, as in the paper's job search.
        averaging: share of the running average of the weights that every fifth step keeps; it is
            then the average that is evaluated and kept. 0 keeps the weights of one step.
        batch: lists of 1 + `negatives` items in a step.
        steps: at most.
        validation: latest impressions of the training part that are not learnt from; the weights
            of the best AUC on them are kept. At most a tenth of the part.
        evaluate_every: steps between two rankings of the validation impressions.
        patience: evaluations without a better AUC after which training ends.
        checkpoint_every: steps between two checkpoints.
        resamples: draws of impressions for the intervals.
    """

    combinations: tuple[Combination, ...] = Field(default=COMBINATIONS, min_length=1)
    history: int = Field(default=10, ge=1, le=100)
    negatives: int = Field(default=10, ge=1)
    units: tuple[int, ...] = Field(default=(512, 256, 256, 256), min_length=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    learning_rate: float = Field(default=0.1, gt=0)
    averaging: float = Field(default=0.0, ge=0, lt=1)
    batch: int = Field(default=32, ge=1)
    steps: int = Field(default=300_000, ge=1)
    validation: int = Field(default=10_000, ge=1)
    evaluate_every: int = Field(default=5_000, ge=1)
    patience: int = Field(default=10, ge=1)
    checkpoint_every: int = Field(default=5_000, ge=1)
    resamples: int = Field(default=1000, ge=1, le=100_000)
