"""What a user can mend about ranking."""

from components.errors import IntentError


class RankingError(IntentError):
    """Lists, a model or a request that cannot be used; names the file or field."""
