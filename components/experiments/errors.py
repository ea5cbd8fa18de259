"""What a user of experiments can mend."""

from components.errors import IntentError


class ExperimentsError(IntentError):
    """A manifest, an allocation or a log that cannot be used; names the file and the field."""


class Taken(ExperimentsError):
    """There is an experiment of that name already."""
