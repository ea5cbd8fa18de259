"""What a user can mend about ranking news."""

from components.errors import IntentError


class NewsError(IntentError):
    """A feed, an encoder or a prediction file that cannot be used; names the file or field."""
