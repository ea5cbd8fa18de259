"""Kubeflow steps of the ranking room; a source without pages shown makes empty outputs."""

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def build_ranking_lists(
    feed: dsl.Input[dsl.Dataset],
    features: dsl.Input[dsl.Dataset],
    sessions: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Dataset],
    config: dict,
    seed: int,
    lists: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
):
    """Make a list of each page that members were shown after their cuts."""
    from pathlib import Path

    from components.ranking.config import ListsConfig
    from components.ranking.lists import build_lists

    counts = build_lists(
        Path(feed.path),
        Path(features.path),
        Path(sessions.path),
        Path(examples.path),
        Path(lists.path),
        ListsConfig(**config),
        seed=seed,
    )
    for name, count in counts.items():
        metrics.log_metric(name, count)


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def train_ranker(
    lists: dsl.Input[dsl.Dataset],
    vectors: dsl.Input[dsl.Dataset],
    words: dsl.Input[dsl.Model],
    config: dict,
    variant: str,
    seed: int,
    checkpoints: str,
    ranker: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
):
    """Train the deep and wide ranker.

    Variant `base` has no activity vector, `tower` reads it; `base-no-history` and
    `tower-no-history` do so without the features of what the member did before.
    """
    import shutil
    from pathlib import Path

    from components.features.specification import HISTORY_NAMES
    from components.ranking.config import RankerConfig
    from components.ranking.errors import RankingError
    from components.ranking.training import train_ranker

    kind, _, less = variant.partition("-")
    if kind not in ("base", "tower") or less not in ("", "no-history"):
        raise RankingError(f"variant {variant!r}: no such ranker")
    settings = dict(config)
    if less:
        settings["leave_out"] = [*settings.get("leave_out", []), *HISTORY_NAMES]
    own_checkpoints = Path(checkpoints, f"ranker-{variant}")
    summary = train_ranker(
        Path(lists.path),
        Path(vectors.path),
        Path(ranker.path),
        RankerConfig(**settings),
        tower=kind == "tower",
        words=Path(words.path),
        seed=seed,
        checkpoints=own_checkpoints,
    )
    for name, value in summary.items():
        if value is not None:
            metrics.log_metric(name, value)
    shutil.rmtree(own_checkpoints, ignore_errors=True)


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def train_rank_trees(
    lists: dsl.Input[dsl.Dataset],
    config: dict,
    seed: int,
    trees: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
):
    """Boost LambdaMART on the same lists."""
    from pathlib import Path

    from components.ranking.config import TreesConfig
    from components.ranking.trees import train_trees

    summary = train_trees(Path(lists.path), Path(trees.path), TreesConfig(**config), seed=seed)
    for name, value in summary.items():
        if value is not None:
            metrics.log_metric(name, value)
