"""What a user of the store can mend."""

from components.errors import IntentError


class StoreError(IntentError):
    """A store, a push or a record that cannot be used; the message names it and what to do."""
