"""Settings of examples and labels."""

from pydantic import Field

from components.config import Config


class WindowsConfig(Config):
    """Several examples from one long trail, for training members only.

    Cuts run backwards from the one cut that every member has, so the last window's target is the
    one that the member would have without windows. Where a click is a session, as in the recipes of
    news, sessions count clicks: the paper's Appendix A steps by 3 and has contexts of 4 to 10. A
    member with a shorter trail still makes his one example.
    """

    stride: int = Field(default=3, ge=1)
    """Sessions between two cuts of a trail."""
    minimum_context: int = Field(default=4, ge=1)
    """Sessions that a context must hold for a further cut to be made."""
    maximum_context: int | None = Field(default=None, ge=1)
    """Most recent sessions that a context holds, that of any member; all of them when unset."""
    target_sessions: int | None = Field(default=None, ge=1)
    """Sessions of an earlier window's target; when unset, in proportion to its context."""


class ExamplesConfig(Config):
    """How trails become examples, a context and the labels of what followed."""

    context_share: float = Field(default=0.8, gt=0, lt=1)
    """Share of a member's sessions that the vector is computed from; the rest is the target."""
    minimum_label_count: int = Field(default=2, ge=1)
    """Training members who must have shown a label for it to be one."""
    windows: WindowsConfig | None = None
    """Strided windows of training members' trails; one example per member when unset."""
