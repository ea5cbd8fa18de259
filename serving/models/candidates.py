"""candidates: a member, or a visitor's actions, to postings by the clauses that select them."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kserve import InferOutput

from components.candidates.candidates import Candidates
from components.variants.package import Package
from serving.errors import NotReady
from serving.limits import ENTITIES
from serving.lookup import Entity, Lookup
from serving.models.base import Place, VariantModel
from serving.models.entities import Trail, TrailEntities
from serving.parts import vertical_of
from serving.requests import CandidatesInstance
from serving.tensors import documents, texts
from serving.trails import read_actions


class CandidatesModel(VariantModel):
    """Candidate selection being served; a package without encoder selects by no entities.

    Members' entities are the store's. Where the store cannot be read with this package, or there is
    none, those that the package was trained with answer instead: older, but never nothing.
    """

    service = "candidates"
    instance = CandidatesInstance
    outputs = {"candidates": "BYTES", "clauses": "BYTES", "source": "BYTES", "note": "BYTES"}

    def __init__(self, package: Package, place: Place):
        super().__init__(package, place)
        self._vertical, self._activity = vertical_of(package)
        self.vertical = self._vertical
        self._candidates = place.shared.part(package, "candidates", _load)
        self._predicted: TrailEntities | None = None
        self._store: Lookup | None = None  # not the base's, for which a model waits
        if package.about.dataset is not None:
            self._predicted = TrailEntities(package, place, ["any"])
            self._store = place.lookup(package) if place.store else None

    async def answer(
        self, instances: list[CandidatesInstance], headers: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """Return candidates per instance, best first, and the clauses that selected them."""
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
        fresh: dict[int, list[Entity]] = dict.fromkeys(visits, [])
        if self._predicted and visits:
            trails = [Trail(trail, "any", ENTITIES) for trail in visits.values()]
            fresh = dict(zip(visits, await self._predicted.after(trails), strict=True))
        return [
            await self._visitor(asked, fresh[number])
            if number in fresh
            else await self._member(asked)
            for number, asked in enumerate(instances)
        ]

    async def _visitor(self, asked: CandidatesInstance, entities: list[Entity]) -> dict[str, Any]:
        ordered = sorted(asked.actions, key=lambda action: action.ts or 0)  # all have one, or none
        actions = [action.model_dump(exclude_none=True) for action in ordered]
        source = "encoder" if entities else "none"
        return await self._selected(None, asked.k, source, entities, actions)

    async def _member(self, asked: CandidatesInstance) -> dict[str, Any]:
        if self._predicted is None:
            return await self._selected(asked.member_id, asked.k, "none", [])
        if self._store is None or self._store.problem():
            return await self._selected(asked.member_id, asked.k, "package", None)
        try:
            found = await self._store.entities(asked.member_id, "any", self._predicted.labels)
        except NotReady:
            return await self._selected(asked.member_id, asked.k, "package", None)
        # Whom the store does not hold may have been deleted: the package's are not brought back.
        source = "none" if found is None else "store"
        return await self._selected(asked.member_id, asked.k, source, found or [])

    async def _selected(
        self,
        member: str | None,
        k: int,
        source: str,
        entities: list[Entity] | None,
        actions: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        found = None if entities is None else [(own.kind, own.text, own.score) for own in entities]
        selection = await asyncio.to_thread(
            self._candidates.select, member, entities=found, actions=actions, k=k
        )
        return {
            "candidates": [candidate._asdict() for candidate in selection.candidates],
            "clauses": [clause._asdict() for clause in selection.clauses],
            "source": source,
            "note": selection.note,
        }

    def tensors(self, predictions: list[dict]) -> list[InferOutput]:
        """Return each instance's candidates and clauses as JSON texts."""
        return [
            documents("candidates", [said["candidates"] for said in predictions]),
            documents("clauses", [said["clauses"] for said in predictions]),
            texts("source", [said["source"] for said in predictions]),
            texts("note", [said["note"] for said in predictions]),
        ]

    def example(self) -> dict[str, Any]:
        """Return a visitor who looked for something."""
        action = self._vertical.label_actions[0]
        field = "query" if self._vertical.actions[action] == "query" else "title"
        return {"actions": [{"action": action, field: "engineer"}]}

    async def warm(self) -> None:
        """Encode documents of several lengths, and answer a visitor."""
        if self._predicted:
            self._predicted.warm()
        await super().warm()


def _load(path: Path) -> Candidates:
    return Candidates.open(path)
