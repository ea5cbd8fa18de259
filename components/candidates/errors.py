"""What a user can mend about candidates."""

from components.errors import IntentError


class CandidatesError(IntentError):
    """A feed, a request or trained candidates that cannot be used; the message names it."""
