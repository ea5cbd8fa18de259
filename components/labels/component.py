"""Kubeflow steps of the labels room."""

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def cut_examples(
    sessions: dsl.Input[dsl.Dataset],
    config: dict,
    vertical: dict,
    split: dict,
    seed: int,
    examples: dsl.Output[dsl.Dataset],
):
    """Cut trails into contexts and targets, and find the labels to predict."""
    from pathlib import Path

    from components.activity.config import SplitConfig, Vertical
    from components.labels.config import ExamplesConfig
    from components.labels.examples import build_examples

    build_examples(
        Path(sessions.path),
        Path(examples.path),
        ExamplesConfig(**config),
        Vertical(**vertical),
        split=SplitConfig(**split),
        seed=seed,
    )
