"""What can be wrong with what one run leaves to the next."""

from components.errors import IntentError


class DaysError(IntentError):
    """Nothing was handed over, or it cannot be used; names the place or the file."""
