"""Settings of audience expansion."""

from typing import Literal

from pydantic import Field

from components.config import Config

Mechanism = Literal["mean", "feedback"]


class AudienceConfig(Config):
    """Whom a posting's notification goes to, and on how many postings that is measured."""

    mechanism: Mechanism = "mean"
    """Query vector: the mean of the best anchors, or pseudo-relevance feedback around them."""
    anchors: int = Field(default=5, ge=1)
    """Best exact matches that make the query vector, the seeds; 5 in the paper."""
    feedback: int = Field(default=10, ge=1)
    """Neighbours of each seed that join it, for pseudo-relevance feedback."""
    neighbours: int = Field(default=500, ge=1)
    """Most members retrieved for a posting, as published."""
    at_least: float = Field(default=0.80, ge=-1, le=1)
    """Smallest cosine of a neighbour with the query vector, as published, when no re-ranker is."""
    reranked_at_least: float = Field(default=-1, ge=-1, le=1)
    """The same where a re-ranker decides: its threshold takes the place of a fixed cosine."""
    applied: tuple[str, ...] = ("APPLY",)
    """Actions by which a member has applied."""
    predicted: int = Field(default=20, ge=1)
    """Predicted entities per member that exact matching looks at, when measuring."""
    postings: int = Field(default=1000, ge=1)
    """Most postings drawn for measuring, and likewise for training the re-ranker."""
    batch: int = Field(default=100, ge=1)
    """Postings of a night, whose distinct recipients are the liquidity."""
    resamples: int = Field(default=1000, ge=1)
    """Draws of postings for confidence intervals."""
    trees: int = Field(default=150, ge=1)
    """Of the re-ranker."""
    minimum_positives: int = Field(default=30, ge=2)
    """Applications by validation members below which candidates are ranked by similarity."""
