"""The root of every error that a user can mend."""


class IntentError(Exception):
    """Bad input, configuration or state, with the file, row, field or key to mend in the message.

    Each room derives its own; the command line prints the message without a traceback.
    """
