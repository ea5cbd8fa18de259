"""How long members are replayed, and how busy they are."""

from pydantic import Field

from components.config import Config
from components.marketplace.response import PLACES


class FortnightConfig(Config):
    """Size of a replay; the defaults mean something at the size of `quickstart`.

    Attributes:
        days: simulated days.
        visits: mean visits per member over all days; each member's share follows his past.
        suggestions: suggested searches on a home page.
        recommended: postings on a page of recommendations, one page a day for who visits.
        postings: fresh postings a day, each announced to an audience.
        named: members that are asked for per fresh posting; those of an arm are notified.
        concurrency: requests under way at a time.
        timeout: seconds after which an answer is given up.
        most_failures: share of a day's requests that may fail before the replay stops.
        seed: decides everything but the answers.
    """

    days: int = Field(default=14, ge=1, le=365)
    visits: float = Field(default=4.0, gt=0, le=200)
    suggestions: int = Field(default=5, ge=1, le=10)
    recommended: int = Field(default=10, ge=1, le=PLACES)
    postings: int = Field(default=40, ge=0, le=10_000)
    named: int = Field(default=40, ge=1, le=1_000)
    concurrency: int = Field(default=8, ge=1, le=256)
    timeout: float = Field(default=10.0, gt=0)
    most_failures: float = Field(default=0.05, ge=0, le=1)
    seed: int = Field(default=1, ge=0)
