"""ranker: a search and its postings to scores.

A transformer joins the searcher's activity vector, from the store, and the features; a predictor
scores. Both run in one process, or apart: then the transformer sends what the network reads.
"""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferOutput, RESTConfig
from numpy.typing import NDArray

from components.features.tables import FeatureTables
from components.ranking.describe import Described, SearchDescriber
from components.ranking.errors import RankingError
from components.variants.package import Package
from serving.errors import BadRequest, NotReady, ServingError
from serving.models.base import Place, VariantModel
from serving.requests import FieldsInstance, RankerInstance
from serving.telemetry import forwarded, span
from serving.tensors import documents, numbers

PREDICTOR_SECONDS = 10.0
PREDICTOR_STARTS = 300.0
_ABOUT = "ranker.json"


class Search(NamedTuple):
    """What the network reads of one search.

    Attributes:
        described: query, postings and features.
        vector: float32[d] of the searcher; None without one.
    """

    described: Described
    vector: NDArray[np.float32] | None


class Scorer(Protocol):
    """Where the network is."""

    async def scores(
        self, searches: Sequence[Search], headers: Mapping[str, str]
    ) -> list[NDArray[np.float32]]:
        """Return the scores of each search's postings."""


class RankerModel(VariantModel):
    """A ranker being served: the transformer, before a network here or elsewhere."""

    service = "ranker"
    instance = RankerInstance
    outputs = {"scores": "FP32", "lengths": "INT32", "ranked": "BYTES", "vector": "BOOL"}

    def __init__(self, package: Package, place: Place):
        super().__init__(package, place)
        self._lookup = place.lookup(package) if package.about.encoder else None
        tables = place.shared.part(package, "features", FeatureTables.open)
        about = json.loads((package.path / "ranker" / _ABOUT).read_text())
        if about["encoder"] != package.about.encoder:
            raise ServingError(
                f"{package.path}/ranker: reads vectors of encoder {about['encoder']}, the package "
                f"says {package.about.encoder}"
            )
        try:
            self._describer = SearchDescriber(tables, about)
        except RankingError as error:
            raise ServingError(f"{package.path}: {error}") from error
        self._example = tables.item_ids.slice(0, 25).to_pylist() or ["none"]
        self._threads = ThreadPoolExecutor(place.threads, thread_name_prefix="describe")
        self._scorer: Scorer
        if place.predictor is None:
            self._scorer = LocalScorer(package, place)
        else:
            self._scorer = RemoteScorer(package.about.model, place)

    async def answer(
        self, instances: list[RankerInstance], headers: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """Return scores per instance, and the postings in their order, best first."""
        vectors = await self._vectors(instances)
        loop = asyncio.get_running_loop()
        described = await asyncio.gather(
            *(
                loop.run_in_executor(
                    self._threads,
                    partial(
                        self._describer.describe,
                        asked.query or None,
                        asked.items,
                        member=asked.member_id,
                        ts=asked.ts,
                    ),
                )
                for asked in instances
            )
        )
        searches = [Search(*pair) for pair in zip(described, vectors, strict=True)]
        scored = await self._scorer.scores(searches, headers)
        return [
            {
                "scores": scores,
                "ranked": [asked.items[at] for at in np.argsort(-scores, kind="stable")],
                "vector": vector is not None,
            }
            for asked, scores, vector in zip(instances, scored, vectors, strict=True)
        ]

    async def _vectors(
        self, instances: Sequence[RankerInstance]
    ) -> list[NDArray[np.float32] | None]:
        if self._lookup is None:
            return [None] * len(instances)
        asked = [instance.member_id for instance in instances]
        members = sorted({member for member in asked if member is not None})
        if not members:
            return [None] * len(instances)
        found, known = await self._lookup.vectors(members)
        vector = {
            member: row
            for member, row, is_known in zip(members, found, known, strict=True)
            if is_known and row.any()
        }
        return [None if member is None else vector.get(member) for member in asked]

    def tensors(self, predictions: list[dict]) -> list[InferOutput]:
        """Return all scores end to end with their number per instance, and the order as JSON."""
        scores = [said["scores"] for said in predictions]
        return [
            numbers("scores", np.concatenate(scores)),
            numbers("lengths", [len(own) for own in scores], "INT32"),
            documents("ranked", [said["ranked"] for said in predictions]),
            numbers("vector", [said["vector"] for said in predictions], "BOOL"),
        ]

    def example(self) -> dict[str, Any]:
        """Return a search by nobody known, which needs no store."""
        return {"query": "engineer", "items": self._example}

    async def warm(self) -> None:
        """Score an example; a predictor elsewhere may start after its transformer.

        Raises:
            ServingError: the predictor stays away.
        """
        end = time.monotonic() + PREDICTOR_STARTS
        while True:
            try:
                return await super().warm()
            except NotReady as error:
                if time.monotonic() > end:
                    raise ServingError(str(error)) from error
            await asyncio.sleep(0.5)


class PredictorModel(VariantModel):
    """A ranker's network alone, behind transformers elsewhere."""

    service = "ranker"
    instance = FieldsInstance
    outputs = {}

    def __init__(self, package: Package, place: Place):
        super().__init__(package, place)
        self._scorer = LocalScorer(package, place)

    async def answer(
        self, instances: list[FieldsInstance], headers: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """Return scores per instance."""
        searches = [
            Search(
                Described(*(np.asarray(getattr(asked, name)) for name in Described._fields)),
                None if asked.vector is None else np.asarray(asked.vector, np.float32),
            )
            for asked in instances
        ]
        try:
            scored = await self._scorer.scores(searches, headers)
        except RankingError as error:
            raise BadRequest(f"instances: {error}") from None
        return [{"scores": scores} for scores in scored]

    def tensors(self, predictions: list[dict]) -> list[InferOutput]:
        """Return nothing: transformers ask in the v1 protocol."""
        return []

    def example(self) -> dict[str, Any]:
        """Return a list of one posting that says nothing."""
        about = self._scorer.about
        words = {name: [0] * width for name, width in about["widths"].items()}
        return {
            "query_words": words["query"],
            "title_words": [words["title"]],
            "company_words": [words["company"]],
            "continuous": [[0.0] * len(about["continuous"])],
            "categorical": [[0] * len(about["categorical"])],
            "vector": None,
        }


class LocalScorer:
    """A network of this process.

    Attributes:
        about: what its `ranker.json` says.
    """

    def __init__(self, package: Package, place: Place):
        from components.ranking.scorer import Ranker

        def load(path: Path) -> Ranker:
            return Ranker.open(path, encoder=package.about.encoder)

        self._ranker = place.shared.part(package, "ranker", load, package.about.encoder)
        self.about = self._ranker.about
        self._threads = ThreadPoolExecutor(place.threads, thread_name_prefix="ranker")

    async def scores(
        self, searches: Sequence[Search], headers: Mapping[str, str]
    ) -> list[NDArray[np.float32]]:
        """Return the scores of each search's postings."""
        loop = asyncio.get_running_loop()
        return list(
            await asyncio.gather(
                *(
                    loop.run_in_executor(
                        self._threads, partial(self._ranker.score, *search.described, search.vector)
                    )
                    for search in searches
                )
            )
        )


class RemoteScorer:
    """A network behind KServe's v1 protocol; the trace, the experiment and the unit go along."""

    def __init__(self, model: str, place: Place):
        self._model, self._url = model, f"http://{place.predictor}"
        self._unit_header = place.unit_header
        config = RESTConfig(protocol="v1", timeout=PREDICTOR_SECONDS, retries=1)
        self._client = InferenceRESTClient(config)

    async def scores(
        self, searches: Sequence[Search], headers: Mapping[str, str]
    ) -> list[NDArray[np.float32]]:
        """Return the scores of each search's postings.

        Raises:
            NotReady: the predictor is away, or refuses.
        """
        instances = [
            {name: field.tolist() for name, field in search.described._asdict().items()}
            | {"vector": None if search.vector is None else search.vector.tolist()}
            for search in searches
        ]
        try:
            with span("predictor", model=self._model):
                answer = await self._client.infer(
                    self._url,
                    data={"instances": instances},
                    model_name=self._model,
                    headers=forwarded(headers, self._unit_header)
                    | {"content-type": "application/json"},
                )
            return [np.asarray(said["scores"], np.float32) for said in answer["predictions"]]
        except (httpx.HTTPError, KeyError, TypeError, ValueError) as error:
            why = str(error) or type(error).__name__
            raise NotReady(self._model, f"its predictor {self._url} failed: {why}") from error
