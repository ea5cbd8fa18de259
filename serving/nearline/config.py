"""Settings of the near-real-time updates."""

from typing import Self

from pydantic import Field, model_validator

from components.config import Config


class NearlineConfig(Config):
    """What is read, and when a session counts as closed.

    Attributes:
        topic: of the actions: a JSON object a message, with the member's id as its key.
        dead_letters: topic that messages no update can be made from go to, with the reason; the
            actions' own name and `-dead` when empty.
        lateness_minutes: how far out of order actions of one partition may come; a session is
            closed that much later than the idle limit.
        longest_minutes: a session that goes on longer is brought up to date in between.
        ahead_minutes: an action further ahead of the clock than this is refused, since it would
            close everybody's sessions.
        batch: most messages taken in at once.
        closings: most members updated at once.
        largest_message: in bytes; longer ones are refused unread.
    """

    topic: str = Field(min_length=1)
    dead_letters: str = ""
    lateness_minutes: float = Field(default=2.0, ge=0, le=1440)
    longest_minutes: float = Field(default=120.0, gt=0)
    ahead_minutes: float = Field(default=60.0, gt=0)
    batch: int = Field(default=2000, ge=1, le=100_000)
    closings: int = Field(default=512, ge=1, le=100_000)
    largest_message: int = Field(default=1 << 20, ge=1)

    @model_validator(mode="after")
    def _topics_differ(self) -> Self:
        if self.dead_letters == self.topic:
            raise ValueError("dead_letters must not be the topic of the actions")
        return self

    @property
    def dead_topic(self) -> str:
        """Name of the dead-letter topic."""
        return self.dead_letters or f"{self.topic}-dead"
