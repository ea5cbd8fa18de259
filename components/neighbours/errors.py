"""What a user of this room can mend."""

from components.errors import IntentError


class NeighboursError(IntentError):
    """Vectors, an index or a query that cannot be used; the message names file, row or shape."""
