"""How P(confirmed hire | application) is learnt."""

from pydantic import Field

from components.config import Config


class HiresConfig(Config):
    """Which applications are learnt from, and the size of the model.

    Attributes:
        horizon_days: days within which a hire has to be confirmed to count; an application younger
            than that at the last event is left out, because its answer may be outstanding.
        minimum_hires: confirmed hires, and other applications, of training members below which no
            model is trained.
        trees: boosting rounds at most; folds of training members choose how many.
        learning_rate: of boosting.
        leaves: of a tree.
        leaf_applications: training applications in a leaf, at least.
        l2: penalty on the values of leaves.
        feature_share: of the features that a tree may use.
        folds: of training members.
        bins: of the reliability table, of equal numbers of applications.
        resamples: of the confidence intervals.
    """

    horizon_days: float = Field(default=45, gt=0)
    minimum_hires: int = Field(default=50, ge=5)
    trees: int = Field(default=600, ge=1)
    learning_rate: float = Field(default=0.03, gt=0)
    leaves: int = Field(default=4, ge=2)
    leaf_applications: int = Field(default=80, ge=1)
    l2: float = Field(default=10.0, ge=0)
    feature_share: float = Field(default=0.3, gt=0, le=1)
    folds: int = Field(default=5, ge=2)
    bins: int = Field(default=10, ge=2)
    resamples: int = Field(default=1_000, ge=2)
