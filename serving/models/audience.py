"""audience: a posting to the members to notify of it, or members to those like them."""

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from kserve import InferOutput
from pydantic import BaseModel, Field

from components.audience.audience import Audience, Candidate
from components.audience.errors import AudienceError
from components.audience.training import POSTINGS
from components.errors import IntentError
from components.variants.package import Package
from serving.errors import ServingError
from serving.limits import MOST_MEMBERS, Limits
from serving.models.base import Place, VariantModel
from serving.parts import SubwordTrails
from serving.requests import AudienceInstance, body_of
from serving.tensors import documents, texts

MEMBERS = 100
"""Returned when nobody says how many."""


class AudienceModel(VariantModel):
    """An audience being served; with the parameter neighbours of 0, exact matches alone."""

    service = "audience"
    instance = AudienceInstance
    outputs = {"members": "BYTES", "note": "BYTES"}

    def __init__(self, package: Package, place: Place):
        super().__init__(package, place)
        encoder = place.shared.encoder(package)
        assert isinstance(encoder, SubwordTrails)
        path = package.path
        try:
            self._audience = Audience.open(
                path / "audience",
                index=path / "index",
                entities=path / "entities",
                examples=path / "examples",
                features=path / "features",
                embedder=encoder.embedder,
            )
        except IntentError as error:
            raise ServingError(f"{path}: {error}") from error
        parameters = dict(package.about.parameters)
        self._exact_only = parameters.get("neighbours") == 0
        if self._exact_only:
            del parameters["neighbours"]
        self._parameters = parameters

    @classmethod
    def body(cls, limits: Limits) -> type[BaseModel]:
        """Let a body say `k` for all its instances."""
        return body_of(cls.instance, limits, k=(int, Field(default=MEMBERS, ge=1, le=MOST_MEMBERS)))

    def read(self, body: Any) -> list[AudienceInstance]:
        """Check a v1 body, and give its `k` to the instances without one."""
        read = self._checked(body)
        return [
            asked if asked.k else asked.model_copy(update={"k": read.k}) for asked in read.instances
        ]

    async def answer(
        self, instances: list[AudienceInstance], headers: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """Return members per instance, best first."""
        return [await asyncio.to_thread(self._members, asked) for asked in instances]

    def _members(self, asked: AudienceInstance) -> dict[str, Any]:
        most = asked.k or MEMBERS
        if asked.members:
            found, note = self._like(asked.members, most), ""
            if found is None:
                found, note = [], "the index holds none of these members"
        else:
            posting = asked.job or (asked.company, asked.title)
            try:
                # All of them, where those who match exactly have yet to be picked out.
                expansion = self._audience.expand(
                    posting, most=None if self._exact_only else most, **self._parameters
                )
            except AudienceError as error:
                return {"members": [], "note": str(error)}
            found, note = expansion.candidates, expansion.note
            if self._exact_only:
                found = [candidate for candidate in found if candidate.exact][:most]
        return {"members": [candidate._asdict() for candidate in found], "note": note}

    def _like(self, members: list[str], most: int) -> list[Candidate] | None:
        """Return the members nearest to the mean of some; None when none of these is indexed."""
        index = self._audience.index
        rows = index.rows(members)
        rows = np.unique(rows[rows >= 0])
        if not len(rows):
            return None
        seeds = index.vectors(rows).mean(axis=0, keepdims=True)
        found = index.search(seeds, min(most + len(rows), len(index)))
        ids = index.member_ids
        why = "similar to the members given"
        return [
            Candidate(ids[int(row)].as_py(), float(cosine), float(cosine), False, why)
            for row, cosine in zip(found.rows[0], found.similarity[0], strict=True)
            if row >= 0 and row not in rows
        ][:most]

    def tensors(self, predictions: list[dict]) -> list[InferOutput]:
        """Return each instance's members as JSON text."""
        return [
            documents("members", [said["members"] for said in predictions]),
            texts("note", [said["note"] for said in predictions]),
        ]

    def example(self) -> dict[str, Any]:
        """Return a posting of the catalogue, or a member where it is empty."""
        postings = pq.read_table(self.package.path / "audience" / POSTINGS, columns=["item_id"])
        if len(postings):
            return {"job": postings["item_id"][0].as_py()}
        return {"members": [self._audience.index.member_ids[0].as_py()]}
