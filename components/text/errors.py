"""What a user can mend about texts, vocabularies and token shards."""

from components.errors import IntentError


class TextError(IntentError):
    """An unusable text setting, vocabulary or token file; the message names it."""
