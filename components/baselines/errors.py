"""What a user can mend about the baselines."""

from components.errors import IntentError


class BaselineError(IntentError):
    """A corpus or a setting from which a baseline cannot be trained; the message names it."""
