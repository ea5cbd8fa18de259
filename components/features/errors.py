"""What a user of features can mend."""

from components.errors import IntentError


class FeaturesError(IntentError):
    """Feature tables, or the data they are made of, that cannot be used; names file or column."""
