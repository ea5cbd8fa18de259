"""What an operator of the router can mend."""

from components.errors import IntentError


class RouterError(IntentError):
    """A setting, upstream or configuration that cannot be used; names the file and field."""
