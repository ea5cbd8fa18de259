"""What a user of the encoder can mend."""

from components.errors import IntentError


class EncoderError(IntentError):
    """Unusable weights, checkpoint, settings or device; the message names the file or key."""
