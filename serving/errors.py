"""What the servers can be refused for, by whoever starts or calls them."""

from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady

from components.errors import IntentError


class ServingError(IntentError):
    """A server that cannot start or a package that it cannot serve; names what to mend."""


class BadRequest(InvalidInput):
    """A request that cannot be answered, 400; names the instance and its field."""


class UnknownModel(ModelNotFound):
    """A name that no package has, 404."""

    def __init__(self, name: str, known: list[str]):
        super().__init__(name)
        self.reason = f"there is no model {name!r}; there are {', '.join(sorted(known))}"


class NotReady(ModelNotReady):
    """A model that cannot answer now, 503; says why."""

    def __init__(self, name: str, why: str):
        super().__init__(name)
        self.error_msg = self.reason = f"{name} is not ready: {why}"


class Overloaded(NotReady):
    """More waits already than can be answered in time, 503."""


class LoadRefused(ServingError):
    """A new version that was not taken, 409; the one before goes on."""
