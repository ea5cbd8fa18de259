"""Kubeflow step of the audience room."""

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def train_audience(
    feed: dsl.Input[dsl.Dataset],
    sessions: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Dataset],
    vectors: dsl.Input[dsl.Dataset],
    slices: dsl.Input[dsl.Model],
    features: dsl.Input[dsl.Dataset],
    config: dict,
    seed: int,
    audience: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
):
    """Train the audience's re-ranker, and measure audience expansion beside exact matching."""
    from pathlib import Path

    from components.audience.config import AudienceConfig
    from components.audience.training import Inputs, train_audience

    inputs = (feed, sessions, examples, vectors, slices, features)
    measured = train_audience(
        Inputs(*(Path(artifact.path) for artifact in inputs)),
        Path(audience.path),
        AudienceConfig(**config),
        seed=seed,
    )
    for row in measured.get("rows", []):
        metrics.log_metric(f"{row['method']}: recall", row["recall"])
