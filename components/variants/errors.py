"""What can go wrong with variants."""

from components.errors import IntentError


class VariantError(IntentError):
    """A variant that cannot be packaged, opened or registered; names the file or the field."""
