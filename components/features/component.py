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

    The latter have the words and categories of the former, so that a model reads both. Both are
    empty when the feed has no pages shown.
    """
    from pathlib import Path

    from components.features.config import FeaturesConfig
    from components.features.tables import build_tables

    trained, served = Path(asof.path), Path(now.path)
    for target, cuts, like in ((trained, Path(examples.path), None), (served, None, trained)):
        build_tables(
            Path(feed.path),
            Path(sessions.path),
            target,
            FeaturesConfig(**config),
            examples=cuts,
            like=like,
        )
