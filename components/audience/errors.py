"""What a user can mend about audiences."""

from components.errors import IntentError


class AudienceError(IntentError):
    """A posting, a feed or a trained audience that cannot be used; the message names it."""
