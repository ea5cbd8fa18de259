"""Settings of the search for similar members."""

from pydantic import Field

from components.config import Config


class NeighboursConfig(Config):
    """How members' vectors are partitioned and searched."""

    shards: int = Field(default=1, ge=1, le=4096)
    """Random parts of equal size, searched in parallel; the paper has 16."""
