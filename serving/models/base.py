"""What all servers share: one package as a KServe model, asked in any protocol."""

import os
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from kserve import InferOutput, InferRequest, InferResponse, Model
from pydantic import BaseModel

from components.activity.config import Vertical
from components.variants.package import Package
from serving.errors import BadRequest, NotReady, ServingError
from serving.limits import Limits
from serving.lookup import Lookup
from serving.parts import Shared
from serving.requests import Instance, body_of, read_body
from serving.telemetry import note
from serving.tensors import instances_of, response, specification


class Place(NamedTuple):
    """What a server lends to every model in it.

    Attributes:
        limits: of a request.
        shared: parts that several packages hold.
        store: URL; None for a server without one.
        unit_header: names the unit of the experiments.
        predictor: host:port of the ranker's predictor, for a server of transformers.
    """

    limits: Limits = Limits()
    shared: Shared = Shared()
    store: str | None = None
    unit_header: str = "x-member-id"
    predictor: str | None = None

    @property
    def threads(self) -> int:
        """Computations at once: one per core."""
        return len(os.sched_getaffinity(0))

    def lookup(self, package: Package) -> Lookup:
        """Open the dataset that a package reads.

        Raises:
            ServingError: there is no store, or it cannot be opened.
        """
        if self.store is None:
            raise ServingError(
                f"{package.path}: reads dataset {package.about.dataset} of a store: say --store"
            )
        return Lookup(self.store, package)


class Asked(NamedTuple):
    """A request that was read.

    Attributes:
        instances: checked against the service's model of them.
        tensors: of the v2 protocol; None for v1.
    """

    instances: list[Any]
    tensors: InferRequest | None


class Answered(NamedTuple):
    """Predictions, one per instance, beside the request that they answer."""

    asked: Asked
    predictions: list[dict[str, Any]]


class VariantModel(Model):
    """A package being served.

    Attributes:
        service: that it answers.
        instance: model of one instance.
        outputs: datatypes of the v2 protocol's tensors.
        vertical: actions that may be sent; None where none are.
    """

    service: ClassVar[str]
    instance: ClassVar[type[Instance]]
    outputs: ClassVar[Mapping[str, str]]

    def __init__(self, package: Package, place: Place):
        super().__init__(package.about.model, return_response_headers=True)
        self.package, self.version = package, package.about.version
        self.vertical: Vertical | None = None
        self._body = self.body(place.limits)
        self._lookup: Lookup | None = None

    @classmethod
    def body(cls, limits: Limits) -> type[BaseModel]:
        """Make the model of a v1 body."""
        return body_of(cls.instance, limits)

    @abstractmethod
    async def answer(self, instances: list[Any], headers: Mapping[str, str]) -> list[dict]:
        """Return a prediction per instance."""

    @abstractmethod
    def tensors(self, predictions: list[dict]) -> list[InferOutput]:
        """Return the predictions as the v2 protocol has them."""

    @abstractmethod
    def example(self) -> dict[str, Any]:
        """Return an instance that can be answered, to warm up by."""

    async def warm(self) -> None:
        """Answer an example, so that no request waits for what a first one builds."""
        instances = self.read({"instances": [self.example()]})
        self.tensors(await self.answer(instances, {}))

    def problem(self) -> str | None:
        """Say why the model cannot answer now, if it cannot."""
        return self._lookup.problem() if self._lookup else None

    async def healthy(self) -> bool:
        """Whether the model answers."""
        return self.ready and self.problem() is None

    def load(self) -> bool:
        """Return whether the model is loaded; the registry loads it."""
        return self.ready

    async def preprocess(self, payload: Any, headers: Mapping[str, str] | None = None) -> Asked:
        """Read a request of either protocol.

        Raises:
            BadRequest: names what is wrong with it.
            NotReady: the model cannot answer now.
        """
        problem = self.problem() if self.ready else "it is not loaded"
        if problem:
            raise NotReady(self.name, problem)
        tensors = payload if isinstance(payload, InferRequest) else None
        if tensors is not None:
            if not self.instance.tensors:
                raise BadRequest("this model is asked in the v1 protocol only")
            payload = {"instances": instances_of(tensors, self.instance)}
        instances = self.read(payload)
        note(self.service, self.name, len(instances))
        return Asked(instances, tensors)

    def read(self, body: Any) -> list[Any]:
        """Check a v1 body and return its instances."""
        return self._checked(body).instances

    def _checked(self, body: Any) -> Any:
        return read_body(self._body, body)

    async def predict(
        self,
        payload: Asked,
        headers: Mapping[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> Answered:
        """Answer all instances of a request."""
        return Answered(payload, await self.answer(payload.instances, headers or {}))

    async def postprocess(
        self,
        result: Answered,
        headers: Mapping[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | InferResponse:
        """Put the predictions into the protocol of the request."""
        if response_headers is not None:
            response_headers["x-intent-model"] = self.name
            response_headers["x-intent-model-version"] = self.version
        if result.asked.tensors is None:
            return {"predictions": result.predictions}
        outputs = self.tensors(result.predictions)
        return response(result.asked.tensors, self.name, self.version, outputs)

    def get_input_types(self) -> list[dict]:
        """Return the tensors of a request, for the model's metadata."""
        return specification(self.instance.tensors)

    def get_output_types(self) -> list[dict]:
        """Return the tensors of an answer, for the model's metadata."""
        return specification(self.outputs)
