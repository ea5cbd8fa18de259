"""What can go wrong with images."""

from components.errors import IntentError


class ImageError(IntentError):
    """An image that cannot be built or run here; the message says what is missing."""
