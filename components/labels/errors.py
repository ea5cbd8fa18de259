"""What a user of examples and labels can mend."""

from components.errors import IntentError


class LabelsError(IntentError):
    """Sessions without labels to learn, or damaged examples; the message names the file or key."""
