"""What a user of this room can mend."""

from components.errors import IntentError


class ExtremeError(IntentError):
    """Examples, labels or vectors that cannot be used; the message names the row or shape."""
