"""suggestions: a member of the store, or a visitor's actions, to searches worth suggesting."""

from collections.abc import Mapping
from typing import Any

from kserve import InferOutput

from components.variants.package import Package
from serving.lookup import Entity
from serving.models.base import Place, VariantModel
from serving.models.entities import Trail, TrailEntities
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
        self._predicted = TrailEntities(package, place, SURFACES)
        self._vertical, self._activity = vertical_of(package)
        self.vertical = self._vertical

    async def answer(
        self, instances: list[SuggestionsInstance], headers: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """Return suggestions per instance, best first."""
        visits = {
            number: Trail(
                read_actions(
                    asked.actions,
                    self._vertical,
                    self._activity,
                    where=f"instances[{number}].actions",
                ),
                asked.surface,
                asked.k,
            )
            for number, asked in enumerate(instances)
            if asked.actions
        }
        found = await self._predicted.after(list(visits.values())) if visits else []
        fresh = {
            number: _said(entities, "encoder" if entities else "none")
            for number, entities in zip(visits, found, strict=True)
        }
        return [
            fresh[number] if number in fresh else await self._stored(asked)
            for number, asked in enumerate(instances)
        ]

    async def _stored(self, asked: SuggestionsInstance) -> dict[str, Any]:
        found = await self._store.entities(asked.member_id, asked.surface, self._predicted.labels)
        return _said([], "none") if found is None else _said(found[: asked.k], "store")

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
        return {
            "actions": [{"action": action, field: self._predicted.labels[0][0]}],
            "surface": "explore",
        }

    async def warm(self) -> None:
        """Encode documents of several lengths, and answer a visitor."""
        self._predicted.warm()
        await super().warm()


def _said(entities: list[Entity], source: str) -> dict[str, Any]:
    return {"suggestions": [entity._asdict() for entity in entities], "source": source}
