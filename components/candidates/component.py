"""Kubeflow step of the candidates room."""

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def train_candidates(
    feed: dsl.Input[dsl.Dataset],
    sessions: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Dataset],
    fasttext_vectors: dsl.Input[dsl.Dataset],
    fasttext_slices: dsl.Input[dsl.Model],
    vectors: dsl.Input[dsl.Dataset],
    slices: dsl.Input[dsl.Model],
    everyone: dsl.Input[dsl.Dataset],
    everyone_fasttext: dsl.Input[dsl.Dataset],
    entities: dsl.Input[dsl.Dataset],
    entities_fasttext: dsl.Input[dsl.Dataset],
    index: dsl.Input[dsl.Artifact],
    config: dict,
    seed: int,
    candidates: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
):
    """Learn the weights of members' clauses, and measure what predicted entities add to them."""
    from pathlib import Path

    from components.candidates.config import CandidatesConfig
    from components.candidates.training import Inputs, train_candidates

    given = {
        "feed": feed,
        "sessions": sessions,
        "examples": examples,
        "fasttext_vectors": fasttext_vectors,
        "fasttext_slices": fasttext_slices,
        "vectors": vectors,
        "slices": slices,
        "everyone": everyone,
        "everyone_fasttext": everyone_fasttext,
        "entities": entities,
        "entities_fasttext": entities_fasttext,
        "index": index,
    }
    measured = train_candidates(
        Inputs(**{name: Path(artifact.path) for name, artifact in given.items()}),
        Path(candidates.path),
        CandidatesConfig(**config),
        seed=seed,
    )
    for row in measured.get("rows", []):
        metrics.log_metric(f"{row['method']}: AUC", row["auc"])
        metrics.log_metric(f"{row['method']}: F1", row["f1"])
