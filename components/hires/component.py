"""Kubeflow steps of the hires room."""

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def train_hires(
    feed: dsl.Input[dsl.Dataset],
    sessions: dsl.Input[dsl.Dataset],
    features: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Dataset],
    config: dict,
    seed: int,
    hires: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
):
    """Train and measure P(confirmed hire | application); empty where nobody answers."""
    from pathlib import Path

    from components.hires.config import HiresConfig
    from components.hires.training import train_hires

    figures = train_hires(
        Path(feed.path),
        Path(sessions.path),
        Path(features.path),
        Path(examples.path),
        Path(hires.path),
        HiresConfig(**config),
        seed=seed,
    )
    for name, value in figures.items():
        if value is not None:
            metrics.log_metric(name, value)
