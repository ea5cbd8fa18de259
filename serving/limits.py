"""How much one request may ask for."""

from pydantic import Field

from components.config import Config

TEXT = 2_000
"""Characters of a query, a title or a company: what an ingest keeps of one."""
NAME = 256
"""Characters of an id."""
ACTIONS = 500
"""Actions of one trail; an encoder reads the most recent few chunks of it."""
ITEMS = 500
"""Postings of one search."""
SEEDS = 1_000
"""Members whose like are sought."""
ENTITIES = 20
"""Of a visitor, from which candidates are selected."""
MOST_SUGGESTIONS = 100
MOST_MEMBERS = 10_000
MOST_CANDIDATES = 1_000


class Limits(Config):
    """What a whole request may weigh.

    Attributes:
        body_bytes: of its body; a longer one is 413.
        instances: in it; more are 400.
        waiting: requests that may wait for a computation; more are 503.
    """

    body_bytes: int = Field(default=1 << 20, ge=1 << 10)
    instances: int = Field(default=64, ge=1)
    waiting: int = Field(default=1_000, ge=1)
