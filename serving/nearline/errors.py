"""What a user of the near-real-time updates can mend."""

from components.errors import IntentError


class NearlineError(IntentError):
    """A package, snapshot, state or topic that updates cannot be made from; names it."""
