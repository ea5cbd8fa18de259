"""suggestions: a member of the store, or a visitor's actions, to searches worth suggesting."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from kserve import InferOutput
from numpy.typing import NDArray

from components.extreme.slice import Slice
from components.extreme.suggest import LabelRanker, rendered_sessions
from components.labels.examples import read_labels
from components.variants.package import Package
from serving.errors import ServingError
from serving.models.base import Place, VariantModel
from serving.models.embedding import TrailVectors
from serving.parts import vertical_of
from serving.requests import SuggestionsInstance, Surface
from serving.tensors import documents, texts
from serving.trails import read_actions

SURFACES: tuple[Surface, ...] = ("any", "explore")


class SuggestionsModel(VariantModel):
    """Predicted searches being served: the store's for members, fresh ones for visitors."""

    service = "suggestions"
    instance = SuggestionsInstance
    outputs = {"suggestions": "BYTES", "source": "BYTES"}

    def __init__(self, package: Package, place: Place):
        super().__init__(package, place)
        self._lookup = self._store = place.lookup(package)
        self._vectors = TrailVectors.of(package, place)
        self._vertical, self._activity = vertical_of(package)
        self.vertical = self._vertical
        labels = read_labels(package.path / "examples")
        self._own = list(zip(labels["text"].to_pylist(), labels["kind"].to_pylist(), strict=True))
        self._rankers = {}
        for surface in SURFACES:
            model = place.shared.part(package, f"slices/{surface}", _load)
            if model.dimension != package.about.dimension or model.label_count != len(labels):
                raise ServingError(
                    f"{package.path}/slices/{surface}: takes {model.dimension} dimensions to "
                    f"{model.label_count} labels, the package has {package.about.dimension} and "
                    f"{len(labels)}"
                )
            self._rankers[surface] = LabelRanker(model, labels, self._vertical)

    async def answer(
        self, instances: list[SuggestionsInstance], headers: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """Return suggestions per instance, best first."""
        visits = {
            number: read_actions(
                asked.actions,
                self._vertical,
                self._activity,
                where=f"instances[{number}].actions",
            )
            for number, asked in enumerate(instances)
            if asked.actions
        }
        fresh = await self._fresh(instances, visits) if visits else {}
        return [
            fresh[number] if number in fresh else await self._stored(asked)
            for number, asked in enumerate(instances)
        ]

    async def _fresh(
        self, instances: list[SuggestionsInstance], visits: dict[int, pa.Table]
    ) -> dict[int, dict[str, Any]]:
        encoder = self._vectors.encoder
        vectors = await self._vectors.of_documents(
            [encoder.document(rendered_sessions(trail)) for trail in visits.values()]
        )
        found = await asyncio.gather(
            *(
                asyncio.to_thread(self._classified, instances[number], trail, vector)
                for (number, trail), vector in zip(visits.items(), vectors, strict=True)
            )
        )
        return dict(zip(visits, found, strict=True))

    def _classified(
        self, asked: SuggestionsInstance, trail: pa.Table, vector: NDArray[np.float32]
    ) -> dict[str, Any]:
        if not vector.any():  # nothing that the encoder could read
            return {"suggestions": [], "source": "none"}
        ranker, most = self._rankers[asked.surface], min(asked.k, len(self._own))
        found = ranker.best(vector[None], trail, most, asked.surface)
        said = [{"text": s.text, "kind": s.kind, "score": s.score} for s in found]
        return {"suggestions": said, "source": "encoder" if said else "none"}

    async def _stored(self, asked: SuggestionsInstance) -> dict[str, Any]:
        record = await self._store.record(asked.member_id)
        if record is None:
            return {"suggestions": [], "source": "none"}
        content = self._store.content(record.version)
        if asked.surface not in content.surfaces:
            return {"suggestions": [], "source": "none"}
        row, labels = content.surfaces.index(asked.surface), content.labels or self._own
        said = []
        for label, score in zip(
            record.labels[row].tolist()[: asked.k], record.scores[row].tolist(), strict=False
        ):
            if 0 <= label < len(labels):
                text, kind = labels[label]
                said.append({"text": text, "kind": kind, "score": score})
        return {"suggestions": said, "source": "store"}

    def tensors(self, predictions: list[dict]) -> list[InferOutput]:
        """Return each instance's suggestions as JSON text."""
        return [
            documents("suggestions", [said["suggestions"] for said in predictions]),
            texts("source", [said["source"] for said in predictions]),
        ]

    def example(self) -> dict[str, Any]:
        """Return a visitor who made one label's action."""
        action = self._vertical.label_actions[0]
        field = "query" if self._vertical.actions[action] == "query" else "title"
        return {"actions": [{"action": action, field: self._own[0][0]}], "surface": "explore"}

    async def warm(self) -> None:
        """Encode documents of several lengths, and answer a visitor."""
        self._vectors.encoder.warm()
        await super().warm()


def _load(path: Path) -> Slice:
    return Slice.load(path)
