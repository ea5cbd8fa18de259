"""The models of one server: opened, warmed, exchanged for newer ones, and found by their names."""

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from kserve import ModelRepository
from kserve.model import InferenceModel, InferenceVerb
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from components.errors import IntentError
from components.variants.package import open_package, read_about
from serving.errors import LoadRefused, ServingError, UnknownModel
from serving.models.base import Place, VariantModel
from serving.telemetry import LOADS, READY

Part = Literal["all", "transformer", "predictor"]
CHOSEN = "x-intent-model"
"""Header by which a router says which variant of a service answers."""

logger = logging.getLogger(__name__)


class ServiceModel(InferenceModel):
    """A service's name: whatever variant the header x-intent-model names, else the first."""

    def __init__(self, service: str, registry: "Registry"):
        super().__init__(service)
        self._registry = registry

    async def __call__(
        self, body: Any, headers: Mapping[str, str] | None = None, verb: Any = InferenceVerb.PREDICT
    ) -> Any:
        """Pass a request on to the variant.

        Raises:
            UnknownModel: the header names none of this service's.
            NotReady: it does not answer yet.
        """
        return await self.variant(headers or {})(body, headers=headers, verb=verb)

    def variant(self, headers: Mapping[str, str]) -> VariantModel:
        """Return who answers a request.

        Raises:
            UnknownModel: the header names none of this service's.
        """
        variants = self._registry.variants(self.name)
        if CHOSEN not in headers:
            return next(iter(variants.values()))
        name = headers[CHOSEN]
        if name not in variants:
            raise UnknownModel(name, list(variants))
        return variants[name]

    async def healthy(self) -> bool:
        """Whether any variant answers; one that does not says why when it is asked."""
        return any([await model.healthy() for model in self._registry.variants(self.name).values()])

    def get_input_types(self) -> list[dict]:
        """Return the tensors of a request."""
        return self.variant({}).get_input_types()

    def get_output_types(self) -> list[dict]:
        """Return the tensors of an answer."""
        return self.variant({}).get_output_types()


class Registry(ModelRepository):
    """Every model of the server, under its own name and its service's.

    Args:
        directories: packages, in the order in which a service's first is chosen.
        place: what the models share.
        part: what to make of a ranker.
    """

    def __init__(self, directories: list[Path], place: Place, part: Part = "all"):
        super().__init__()
        self.place, self._part = place, part
        self._directories: dict[str, Path] = {}
        self._refused: dict[str, str] = {}
        self._turn = asyncio.Lock()
        for directory in directories:
            about = read_about(directory)
            if about.model in self._directories:
                raise ServingError(
                    f"{directory} and {self._directories[about.model]} are both {about.model}"
                )
            self._directories[about.model] = directory
        if not self._directories:
            raise ServingError("no package to serve: say --model-dir")

    def variants(self, service: str) -> dict[str, VariantModel]:
        """Return the loaded variants of a service by name, the first first."""
        return {
            name: self.models[name]
            for name in self._directories
            if name in self.models and self.models[name].service == service
        }

    def problems(self) -> dict[str, str]:
        """Say why models do not answer, by the name of each that does not."""
        said = {name: "loading" for name in self._directories if name not in self.models}
        for name in self._directories:
            if name in self.models:
                model = self.models[name]
                problem = model.problem()
                READY.labels(name, model.version).set(problem is None)
                if problem:
                    said[name] = problem
        return said

    async def load_all(self) -> None:
        """Open and warm every package.

        Raises:
            IntentError: a package is damaged, or cannot be served.
        """
        for name in self._directories:
            await self._put(name, await self._opened(self._directories[name]))

    async def load(self, name: str) -> bool:
        """Exchange a model for what its directory holds now; one that is damaged is not taken.

        Raises:
            UnknownModel: no directory is of that name.
            LoadRefused: the package is damaged, another's, or cannot be served; names why.
        """
        for loaded in self.variants(name).values():  # a service: all of its variants
            await self.load(loaded.name)
        if name in self.models and name not in self._directories:
            return True
        if name not in self._directories:
            raise UnknownModel(name, list(self._directories))
        async with self._turn:
            before = self.models.get(name)
            try:
                about = read_about(self._directories[name])
                if about.model != name:
                    raise ServingError(f"{self._directories[name]}: is {about.model} now")
                if before is None or about.version != before.version:
                    model = await self._opened(self._directories[name])
                    problem = model.problem()
                    if problem:
                        raise ServingError(problem)
                    await self._put(name, model)
            except IntentError as error:
                LOADS.labels(name, "refused").inc()
                kept = f"; version {before.version} goes on" if before else ""
                raise LoadRefused(f"{name}: {error}{kept}") from error
        return True

    async def watch(self, seconds: float) -> None:
        """Look for new versions for ever; one that was refused is not tried again."""
        while True:
            await asyncio.sleep(seconds)
            for name in list(self._directories):
                if name not in self.models:  # unloaded on purpose
                    continue
                try:
                    version = read_about(self._directories[name]).version
                except IntentError:
                    continue  # being exchanged
                if version in (self.models[name].version, self._refused.get(name)):
                    continue
                try:
                    await self.load(name)
                except LoadRefused as error:
                    self._refused[name] = version
                    logger.error("load_refused model=%s reason=%s", name, error)

    def unload(self, name: str) -> None:
        """Stop serving a model; `load` brings it back.

        Raises:
            KeyError: there is none, or it is a service's name.
        """
        if name not in self._directories or name not in self.models:
            raise KeyError(name)
        service = self.models[name].service
        READY.labels(name, self.models[name].version).set(0)
        super().unload(name)
        if not self.variants(service):
            del self.models[service]
        logger.info("unloaded model=%s", name)

    async def _opened(self, directory: Path) -> VariantModel:
        model = await asyncio.to_thread(self._make, directory)
        await model.warm()
        model.ready = True
        return model

    def _make(self, directory: Path) -> VariantModel:
        package = open_package(directory)
        kinds = model_kinds(self._part)
        if package.about.service not in kinds:
            raise ServingError(f"{directory}: a {self._part} serves only {', '.join(kinds)}")
        try:
            return kinds[package.about.service](package, self.place)
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ServingError(f"{directory}: no package to serve: {error!r}") from error

    async def _put(self, name: str, model: VariantModel) -> None:
        before = self.models.get(name)
        self.models[name] = model
        self.models.setdefault(model.service, ServiceModel(model.service, self))
        if before is not None:
            READY.remove(name, before.version)
        LOADS.labels(name, "loaded").inc()
        logger.info("loaded model=%s version=%s", name, model.version)


class Repository(ModelRepositoryExtension):
    """The load and unload calls of both protocols, with plain refusals."""

    def __init__(self, registry: Registry):
        super().__init__(registry)
        self._registry = registry

    async def load(self, model_name: str) -> dict[str, Any]:
        """Exchange a model for what its directory holds now.

        Raises:
            UnknownModel: no directory is of that name.
            LoadRefused: the package cannot be served; names why.
        """
        await self._registry.load(model_name)
        return {"name": model_name, "load": True}

    async def unload(self, model_name: str) -> dict[str, Any]:
        """Stop serving a model.

        Raises:
            UnknownModel: there is none.
        """
        try:
            self._registry.unload(model_name)
        except KeyError:
            raise UnknownModel(model_name, list(self._registry.models)) from None
        return {"name": model_name, "unload": True}


def model_kinds(part: Part) -> dict[str, type[VariantModel]]:
    """Return which class serves which service; rooms that need tensorflow are opened when used."""
    from serving.models.ranker import PredictorModel, RankerModel

    if part == "predictor":
        return {"ranker": PredictorModel}
    if part == "transformer":
        return {"ranker": RankerModel}
    from serving.models.audience import AudienceModel
    from serving.models.candidates import CandidatesModel
    from serving.models.encoder import EncoderModel
    from serving.models.suggestions import SuggestionsModel

    return {
        "encoder": EncoderModel,
        "suggestions": SuggestionsModel,
        "ranker": RankerModel,
        "audience": AudienceModel,
        "candidates": CandidatesModel,
    }
