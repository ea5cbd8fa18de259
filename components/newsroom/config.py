"""How large the generated news traffic is, and how its members read."""

from typing import Literal

from pydantic import Field

from components.config import Config


class NewsroomConfig(Config):
    """Sizes and rates of generated traffic in the format of MIND.

    Attributes:
        kind: names this source in a recipe.
        users: members, most of whom read.
        items: news items published in the seven weeks.
        entities: people, places and organisations that items are about.
        history_clicks: mean clicks of a member in the four weeks before the training part.
        impressions: mean pages shown to a member in the six days of the training part; dev (a day)
            and test (a week) are in proportion.
        candidates: median of the items on a page; a page has 5 to 300.
        new_items: share of the items shown in a part that were published in it (MIND: 0.875).
        personal: share of a page's items drawn from the member's interests rather than from
            everybody's.
        drift: share of members who give up one interest for another.
        without_history: share of members who read nothing in the first four weeks.
        without_abstract: share of items without an abstract.
        without_entities: share of items without entities.
        chunk: members simulated at a time; bounds memory.
    """

    kind: Literal["news"] = "news"
    users: int = Field(default=3_000, ge=1, le=10_000_000)
    items: int = Field(default=6_000, ge=200, le=1_000_000)
    entities: int = Field(default=1_500, ge=50, le=200_000)
    history_clicks: float = Field(default=18.0, gt=0, le=500)
    impressions: float = Field(default=3.0, gt=0, le=100)
    candidates: float = Field(default=16.0, ge=5, le=100)
    new_items: float = Field(default=0.875, gt=0.1, le=1)
    personal: float = Field(default=0.4, ge=0, le=1)
    drift: float = Field(default=0.3, ge=0, le=1)
    without_history: float = Field(default=0.03, ge=0, le=1)
    without_abstract: float = Field(default=0.05, ge=0, le=1)
    without_entities: float = Field(default=0.25, ge=0, le=1)
    chunk: int = Field(default=8_192, ge=1, le=65_536)
