"""What can go wrong with a generated marketplace that its user can mend."""

from components.errors import IntentError


class MarketplaceError(IntentError):
    """A missing package, impossible sizes, or a truth directory that is not one."""
