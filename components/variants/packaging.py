"""The variants that a training run offers, each as a package of its own.

For every service a run offers what it trained and what that is to be compared with: suggestions
from the fine-tuned encoder beside those from fastText, rankers with and without the activity
vector, audiences with and without neighbours, candidates with and without predicted entities
(paper, Table 7).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from components.extreme.training_sets import CHOSEN, SURFACES
from components.files import whole_directory
from components.variants.names import FASTTEXT, FINETUNED
from components.variants.package import ABOUT, Package, write_package

# Of each service's variants the first is what the others are compared with.
RANKERS = {
    "no-history": "no history",
    "no-history-vector": "no history + vector",
    "full": "TF-Ranking",
    "full-vector": "TF-Ranking + vector",
}
"""Variants of the ranker, and what the report calls them."""

AUDIENCES: dict[str, tuple[dict[str, Any], str]] = {
    "exact": ({"neighbours": 0}, "exact match"),
    "expanded": ({}, "re-ranked, thresholded"),
}
"""Variants of the audience: their parameters, and what the report calls them."""

SUGGESTERS = {FASTTEXT: ("fasttext", "fastText+Slice"), FINETUNED: ("bert", "BERT_FT+Slice")}
"""Variants of the suggestions: the kind of their encoder, and what the report calls them."""

CANDIDATES = {
    "baseline": "baseline",
    FASTTEXT: "baseline + fastText entities + SANNS",
    FINETUNED: "baseline + BERT_FT entities + SANNS",
}
"""Variants of candidate selection, and what the report calls them."""


class Origin(NamedTuple):
    """What all variants of a run share.

    Attributes:
        settings: sections of the recipe that serving needs: vertical, activity, embed.
        lineage: where they come from: run, recipe, seed.
    """

    settings: Mapping[str, Any]
    lineage: Mapping[str, Any]

    @classmethod
    def of(
        cls, vertical: dict, activity: dict, embed: dict, recipe: str, run: str, seed: int
    ) -> Self:
        """Sort out what a pipeline step is given."""
        return cls(
            {"vertical": vertical, "activity": activity, "embed": embed},
            {"recipe": recipe, "run": run, "seed": seed},
        )


class Uses(NamedTuple):
    """What the ranker's and the audience's variants are made of: directories of the run.

    Attributes:
        features: tables as of now.
        neighbours: index of all members' vectors.
        entities: Parquet file of all members' predicted entities.
        examples: labels.
        encoder: fine-tuned.
    """

    features: Path
    neighbours: Path
    entities: Path
    examples: Path
    encoder: Path


def package_encoder(target: Path, encoder: Path, vectors: Path, origin: Origin) -> list[Package]:
    """Package the fine-tuned encoder below `target`.

    Args:
        target: directory that takes one directory per variant.
        encoder: directory written by `finetune`.
        vectors: everyone's, written by `embed_members` with that encoder.
        origin: of the run.
    """
    with whole_directory(target) as directory:
        package = write_package(
            directory / FINETUNED,
            {"encoder": encoder},
            service="encoder",
            name=FINETUNED,
            encoder_kind="bert",
            **_of_vectors(vectors),
            **origin._asdict(),
        )
    return [package._replace(path=target / FINETUNED)]


def package_suggestions(
    target: Path,
    encoders: Mapping[str, Path],
    vectors: Mapping[str, Path],
    slices: Mapping[str, Path],
    examples: Path,
    measured: Path,
    origin: Origin,
) -> list[Package]:
    """Package the suggestions of each encoder below `target`.

    Args:
        target: directory that takes one directory per variant.
        encoders: by name, the encoder's or the word vectors' directory.
        vectors: everyone's, by encoder; the store content of the encoder's name holds them.
        slices: directories written by `train_slices`, by encoder.
        examples: directory written by `build_examples`.
        measured: directory of the evaluation.
        origin: of the run.
    """
    rows = json.loads((measured / "evaluation.json").read_text())["rows"]
    packages = []
    with whole_directory(target) as directory:
        for name, encoder in encoders.items():
            kind, method = SUGGESTERS[name]
            metrics = {
                f"{row['dataset']} {metric}": row[metric]
                for row in rows
                if row["method"] == method
                for metric in ("p@1", "p@3", "p@5")
            }
            package = write_package(
                directory / name,
                _predicting(encoder, slices[name], examples, SURFACES),
                service="suggestions",
                name=name,
                encoder_kind=kind,
                dataset=name,
                metrics=metrics,
                **_of_vectors(vectors[name]),
                **origin._asdict(),
            )
            packages.append(package._replace(path=target / name))
    return packages


def package_rankers(
    target: Path, rankers: Mapping[str, Path], features: Path, measured: Path, origin: Origin
) -> list[Package]:
    """Package the rankers below `target`; none where the source tells not what it showed.

    Args:
        target: directory that takes one directory per variant.
        rankers: directories written by `train_ranker`, by variant.
        features: tables as of now.
        measured: directory of the rankers' measurement.
        origin: of the run.
    """
    with whole_directory(target) as directory:
        if not any(features.iterdir()):
            return []
        rows = json.loads((measured / "ranking.json").read_text())["ranking"]
        packages = []
        for name, ranker in rankers.items():
            about = json.loads((ranker / "ranker.json").read_text())
            package = write_package(
                directory / name,
                {"ranker": ranker, "features": features},
                service="ranker",
                name=name,
                encoder=about["encoder"],
                dimension=about["dimension"] if about["encoder"] else None,
                dataset=FINETUNED if about["encoder"] else None,
                metrics=_row(rows, RANKERS[name], ("ndcg@25", "auc", "mrr")),
                **origin._asdict(),
            )
            packages.append(package._replace(path=target / name))
    return packages


def package_audiences(target: Path, audience: Path, uses: Uses, origin: Origin) -> list[Package]:
    """Package the audiences below `target`; none where the run has no audience.

    Args:
        target: directory that takes one directory per variant.
        audience: directory written by `train_audience`.
        uses: what it reads beside that.
        origin: of the run.
    """
    packages = []
    with whole_directory(target) as directory:
        if not any(audience.iterdir()):
            return []
        rows = json.loads((audience / "measured.json").read_text())["rows"]
        manifest = json.loads((uses.neighbours / "manifest.json").read_text())
        parts = {
            "audience": audience,
            "index": uses.neighbours,
            "entities": uses.entities,
            "examples/labels.parquet": uses.examples / "labels.parquet",
            "features": uses.features,
            "encoder": uses.encoder,
        }
        for name, (parameters, method) in AUDIENCES.items():
            package = write_package(
                directory / name,
                parts,
                service="audience",
                name=name,
                encoder=manifest["encoder"],
                encoder_kind="bert",
                dimension=manifest["dimension"],
                dataset=FINETUNED,
                parameters=parameters,
                metrics=_row(rows, method, ("recall", "precision")),
                **origin._asdict(),
            )
            packages.append(package._replace(path=target / name))
    return packages


def package_candidates(
    target: Path,
    candidates: Path,
    encoders: Mapping[str, Path],
    vectors: Mapping[str, Path],
    slices: Mapping[str, Path],
    examples: Path,
    origin: Origin,
) -> list[Package]:
    """Package candidate selection below `target`; none where the run has none.

    Args:
        target: directory that takes one directory per variant.
        candidates: directory written by `train_candidates`.
        encoders: by name, what a visitor's entities are predicted with; members' are the store's.
        vectors: everyone's, by encoder; the store content of the encoder's name holds them.
        slices: directories written by `train_slices`, by encoder.
        examples: directory written by `build_examples`.
        origin: of the run.
    """
    packages = []
    with whole_directory(target) as directory:
        if not any(candidates.iterdir()):
            return []
        rows = json.loads((candidates / "measured.json").read_text())["rows"]
        for name, method in CANDIDATES.items():
            parts = {"candidates": candidates / name}
            reads: dict[str, Any] = {}
            if name in encoders:
                parts |= _predicting(encoders[name], slices[name], examples, ["any"])
                reads = {"encoder_kind": SUGGESTERS[name][0], "dataset": name}
                reads |= _of_vectors(vectors[name])
            package = write_package(
                directory / name,
                parts,
                service="candidates",
                name=name,
                metrics=_row(rows, method, ("auc", "f1")),
                **reads,
                **origin._asdict(),
            )
            packages.append(package._replace(path=target / name))
    return packages


def packages_below(directory: Path) -> list[Path]:
    """Return the package directories below a directory, what others are compared with first."""
    order = [*CANDIDATES, *RANKERS, *AUDIENCES]  # suggestions are named as candidates are
    found = sorted(path.parent for path in directory.rglob(ABOUT))
    return sorted(found, key=lambda path: order.index(path.name) if path.name in order else -1)


def _predicting(
    encoder: Path, slices: Path, examples: Path, surfaces: Iterable[str]
) -> dict[str, Path]:
    """Return the parts that predict entities of actions."""
    chosen = json.loads((slices / CHOSEN).read_text())
    models = {f"slices/{surface}": slices / chosen[SURFACES[surface]] for surface in surfaces}
    labels = {"examples/labels.parquet": examples / "labels.parquet"}
    return {"encoder": encoder} | models | labels


def _of_vectors(vectors: Path) -> dict[str, Any]:
    about = json.loads((vectors / "vectors.json").read_text())
    return {"encoder": about["encoder"], "dimension": about["dimension"]}


def _row(rows: Sequence[Mapping], method: str, metrics: Sequence[str]) -> dict[str, float]:
    """Return a method's figures; a run whose data did not suffice for a method has none."""
    found = (row for row in rows if row["method"] == method)
    return {metric: row[metric] for row in found for metric in metrics}
