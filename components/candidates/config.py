"""Settings of candidate selection."""

from pydantic import Field

from components.config import Config


class CandidatesConfig(Config):
    """Which clauses a member has, and of what their weights are learnt."""

    applied: tuple[str, ...] = ("APPLY",)
    """Actions by which a member has applied; as outcomes of a page, what is predicted."""
    saved: tuple[str, ...] = ("SAVE",)
    """Actions by which a member keeps a posting."""
    viewed: tuple[str, ...] = ("VIEW", "SHORT_VIEW", "LONG_VIEW", "INTERACTION")
    """Actions by which a member looks at a posting; the baseline does without them."""
    channels: tuple[str, ...] = Field(default=("recommendation",), min_length=1)
    """Of the pages whose outcomes weights are learnt of and measured on."""
    minimum_postings: int = Field(default=3, ge=1)
    """Of a title or skill that has an id."""
    recent: int = Field(default=300, ge=1)
    """Actions of a member that are looked at, the most recent ones."""
    half_life: float = Field(default=30, gt=0)
    """Actions after which an action counts half."""
    clauses: int = Field(default=10, ge=1)
    """Most clauses of one source and kind, K of the top-K attributes."""
    entities: int = Field(default=20, ge=1)
    """Predicted entities that are rewritten to clauses."""
    applicants: int = Field(default=10, ge=1)
    """First applicants of a posting by whom it is expanded, the initial K."""
    expanded: int = Field(default=50, ge=1)
    """Similar members that a posting is expanded to."""
    popular: int = Field(default=1000, ge=1)
    """Postings kept for members of whom nothing is known, those most applied to."""
    random_pairs: int = Field(default=20, ge=0)
    """Postings drawn at random for each member, beside those that he was shown."""
    penalty: float = Field(default=30.0, gt=0)
    """On half the squares of weights' parameters; of 10 to 1000, validation members liked 30."""
    minimum_positives: int = Field(default=10, ge=2)
    """Applications by validation members below which no weights are learnt."""
    resamples: int = Field(default=1000, ge=1)
    """Draws of members for confidence intervals."""
