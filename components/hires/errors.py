"""What a user of the model of confirmed hires can mend."""

from components.errors import IntentError


class HiresError(IntentError):
    """Responses or a model that cannot be used; names the file or says what is lacking."""
