"""What a user can mend about an evaluation."""

from components.errors import IntentError


class EvaluationError(IntentError):
    """Predictions or inputs that cannot be evaluated; the message names the method or file."""
