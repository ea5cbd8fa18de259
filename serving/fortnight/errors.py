"""What a user of the simulated fortnight can mend."""

from components.errors import IntentError


class FortnightError(IntentError):
    """A router that is away or refuses, a state of other settings, or answers nobody can use."""
