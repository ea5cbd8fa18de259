"""Kubeflow steps of the features room."""

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def build_features(
    feed: dsl.Input[dsl.Dataset],
    sessions: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Dataset],
    config: dict,
    asof: dsl.Output[dsl.Dataset],
    now: dsl.Output[dsl.Dataset],
):
    """Count behaviour into feature tables: as of each member's cut, and as of the last event.

    Both are empty when the feed has no pages shown.
    """
    from pathlib import Path

    from components.features.config import FeaturesConfig
    from components.features.tables import build_tables

    for target, cuts in ((asof, Path(examples.path)), (now, None)):
        build_tables(
            Path(feed.path),
            Path(sessions.path),
            Path(target.path),
            FeaturesConfig(**config),
            examples=cuts,
        )
