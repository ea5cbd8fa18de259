"""How far a job on a cluster has come, whatever its kind."""

from typing import NamedTuple

QUEUED, RUNNING, SUCCEEDED, FAILED = "queued", "running", "succeeded", "failed"


class State(NamedTuple):
    """Of a job, as its operator tells.

    Attributes:
        phase: QUEUED (waits for quota), RUNNING (or about to), SUCCEEDED or FAILED.
        reason: in the operator's words.
    """

    phase: str
    reason: str

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.phase in (SUCCEEDED, FAILED)
