"""How large the generated jobs marketplace is, and how its members behave."""

from typing import Literal, Self

from pydantic import Field, model_validator

from components.config import Config

VISITS_A_DAY = 10


class MarketplaceConfig(Config):
    """Sizes and rates of the generated jobs marketplace.

    Attributes:
        kind: names this source in a recipe.
        members: members who act at least once.
        start: first day, ISO date (UTC midnight).
        days: length of the period in days (the paper: 13 months).
        occupations: distinct occupations, each a (domain, head noun) shared by many real titles.
        specialities: specialities within each occupation.
        companies: distinct employers.
        postings: distinct (company, title) entities.
        sessions_per_member: mean visits per member.
        activity_exponent: tail exponent of visits per member; smaller means a heavier tail.
        most_sessions: bound on one member's visits.
        never_search: share of members who never search.
        drift: share of members whose goal changes at least once.
        explore: share of non-search pages that show something beside the member's goal.
        fresh: share of places given to any posting of the speciality, however unpopular.
        new_query: how readily a member types a new query rather than one used before; the
            n-th search of a goal (from 0) is new with probability new_query / (new_query + n).
        tail_query: share of new queries with a place, "remote" or a similar extra word.
        round_tail: mean number of further pages in an active visit.
        micro_views: write SHORT_VIEW or LONG_VIEW instead of VIEW.
        chunk: members simulated, and written to one part, at a time.
        workers: processes; the output does not depend on it.
    """

    kind: Literal["jobs"] = "jobs"
    members: int = Field(default=8_000, ge=1, le=100_000_000)
    start: str = Field(default="2019-01-01", pattern=r"^\d{4}-\d{2}-\d{2}$")
    days: int = Field(default=395, ge=30, le=3_650)
    occupations: int = Field(default=36, ge=8, le=500)
    specialities: int = Field(default=4, ge=2, le=16)
    companies: int = Field(default=800, ge=32, le=20_000)
    postings: int = Field(default=40_000, ge=200, le=2_000_000)
    sessions_per_member: float = Field(default=16.5, ge=2, le=200)
    activity_exponent: float = Field(default=2.2, gt=1.2, le=10)
    most_sessions: int = Field(default=300, ge=10, le=2_000)
    never_search: float = Field(default=0.16, ge=0, le=1)
    drift: float = Field(default=0.6, ge=0, le=1)
    explore: float = Field(default=0.3, ge=0, le=1)
    fresh: float = Field(default=0.2, ge=0, le=1)
    new_query: float = Field(default=12.0, gt=0, le=100)
    tail_query: float = Field(default=0.25, ge=0, le=1)
    round_tail: float = Field(default=4.0, gt=0, le=20)
    micro_views: bool = False
    chunk: int = Field(default=2_048, ge=1, le=65_536)
    workers: int = Field(default=2, ge=1, le=256)

    @model_validator(mode="after")
    def _sizes_fit_each_other(self) -> Self:
        if self.postings < self.occupations:
            raise ValueError(
                f"postings ({self.postings}) must not be fewer than occupations "
                f"({self.occupations}): every occupation offers something"
            )
        if self.most_sessions < 2 * self.sessions_per_member:
            raise ValueError(
                f"most_sessions ({self.most_sessions}) must be at least twice "
                f"sessions_per_member ({self.sessions_per_member})"
            )
        if self.most_sessions > VISITS_A_DAY * self.days:
            raise ValueError(
                f"most_sessions ({self.most_sessions}) do not fit into days ({self.days}): "
                f"at most {VISITS_A_DAY} a day"
            )
        return self
