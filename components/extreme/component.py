"""Kubeflow steps of the extreme room."""

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def train_slices(
    vectors: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Dataset],
    config: dict,
    seed: int,
    slices: dsl.Output[dsl.Model],
):
    """Train one Slice on each data set's labels, and choose which predicts which."""
    from pathlib import Path

    from components.encoder.vectors import load_vectors
    from components.extreme.config import SliceConfig
    from components.extreme.training_sets import train_slices
    from components.labels.examples import Examples

    train_slices(
        load_vectors(Path(vectors.path)),
        Examples.open(Path(examples.path)),
        Path(slices.path),
        SliceConfig(**config),
        seed=seed,
    )


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def rank_entities(
    vectors: dsl.Input[dsl.Dataset],
    slices: dsl.Input[dsl.Model],
    sessions: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Dataset],
    vertical: dict,
    predicted: int,
    entities: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
):
    """Rank every member's predicted entities, with and without what the member has done."""
    from pathlib import Path

    from components.activity.config import Vertical
    from components.encoder.vectors import MemberVectors
    from components.extreme.entities import predict_entities
    from components.extreme.training_sets import SURFACES, load_slices
    from components.labels.examples import read_labels
    from components.labels.trails import past_labels

    models = load_slices(Path(slices.path))
    past = past_labels(
        Path(sessions.path),
        read_labels(Path(examples.path)),
        MemberVectors.open(Path(vectors.path)).member_ids,
        Vertical(**vertical),
    )
    members = predict_entities(
        Path(vectors.path),
        {surface: models[dataset] for surface, dataset in SURFACES.items()},
        past,
        Path(entities.path),
        k=predicted,
    )
    metrics.log_metric("members", members)
