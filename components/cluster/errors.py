"""What can go wrong with a cluster."""

from components.errors import IntentError


class ClusterError(IntentError):
    """The API server, or a resource on it, cannot be used; names it and the server's reason."""


class Unreachable(ClusterError):
    """The API server does not answer."""


class Forbidden(ClusterError):
    """The account that asks may not do that."""


class NotFound(ClusterError):
    """There is no such resource, or no such kind of resource."""


class Conflict(ClusterError):
    """Somebody else changed the resource, owns the field, or made one of that name."""


class Gone(ClusterError):
    """What is asked for is older than what the API server remembers: list anew."""
