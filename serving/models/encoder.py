"""encoder: actions or text to vectors."""

from collections.abc import Mapping
from typing import Any

from kserve import InferOutput

from components.encoder.in_session import last_of_sessions
from components.extreme.suggest import rendered_sessions
from components.variants.package import Package
from serving.models.base import Place, VariantModel
from serving.models.embedding import TrailVectors
from serving.parts import vertical_of
from serving.requests import EncoderInstance
from serving.tensors import numbers, texts
from serving.trails import read_actions


class EncoderModel(VariantModel):
    """An encoder being served."""

    service = "encoder"
    instance = EncoderInstance
    outputs = {"vector": "FP32", "encoder": "BYTES"}

    def __init__(self, package: Package, place: Place):
        super().__init__(package, place)
        self._vectors = TrailVectors.of(package, place)
        self._vertical, self._activity = vertical_of(package)
        self.vertical = self._vertical

    async def answer(
        self, instances: list[EncoderInstance], headers: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """Return a vector per instance."""
        encoder = self._vectors.encoder
        documents = []
        for number, asked in enumerate(instances):
            if asked.text:
                documents.append(encoder.text(asked.text))
                continue
            trail = read_actions(
                asked.actions,
                self._vertical,
                self._activity,
                where=f"instances[{number}].actions",
            )
            sessions = rendered_sessions(trail)
            if asked.recent is not None:
                sessions = last_of_sessions(sessions, asked.recent)
            documents.append(encoder.document(sessions))
        vectors = await self._vectors.of_documents(documents)
        return [{"vector": vector, "encoder": encoder.version} for vector in vectors]

    def tensors(self, predictions: list[dict]) -> list[InferOutput]:
        """Return the vectors as FP32 [n, d]."""
        return [
            numbers("vector", [said["vector"] for said in predictions]),
            texts("encoder", [said["encoder"] for said in predictions]),
        ]

    def example(self) -> dict[str, Any]:
        """Return a text."""
        return {"text": "engineer"}

    async def warm(self) -> None:
        """Encode documents of several lengths."""
        self._vectors.encoder.warm()
        await super().warm()
