"""What is measured, and on how many members."""

from typing import Annotated

from pydantic import Field

from components.config import Config


class EvaluationConfig(Config):
    """How suggestions are measured and shown.

    Attributes:
        shown: suggestions a surface shows; repeats and grades are taken over these.
        depth: suggestions per member that suggestion coverage counts (the paper: 100).
        members: most test members evaluated; a random draw of more.
        graded: most test members whose suggestions are graded.
        resamples: draws of members for the confidence interval of a difference in precision.
        propensity_a: A of the propensity model of Jain et al., for labels in general.
        propensity_b: B of the same model.
        map_members: most members on a map of vectors.
        compared: most examples, of all members, on which ways to a vector of a long context are
            compared; a random draw of more.
        recent_actions: last actions of each kind of in-session vector that is compared.
    """

    shown: int = Field(default=5, ge=1, le=100)
    depth: int = Field(default=100, ge=5, le=1000)
    members: int = Field(default=100_000, ge=1)
    graded: int = Field(default=5000, ge=1)
    resamples: int = Field(default=1000, ge=1, le=100_000)
    propensity_a: float = Field(default=0.55, gt=0)
    propensity_b: float = Field(default=1.5, ge=0)
    map_members: int = Field(default=2000, ge=50, le=20_000)
    compared: int = Field(default=8000, ge=10)
    recent_actions: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(
        default=(5, 10, 20), min_length=1
    )
