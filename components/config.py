"""What every room's configuration shares: typed, frozen, and closed to unknown keys."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Base of every section; an unknown key or a wrong type is an error naming the key."""

    model_config = ConfigDict(extra="forbid", frozen=True)
