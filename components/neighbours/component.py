"""Kubeflow steps of the neighbours room."""

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def index_neighbours(
    vectors: dsl.Input[dsl.Dataset],
    config: dict,
    seed: int,
    index: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
):
    """Index every member's vector, in random shards, for finding similar members."""
    from pathlib import Path

    from components.neighbours.build import build_index
    from components.neighbours.config import NeighboursConfig

    built = build_index(Path(vectors.path), Path(index.path), NeighboursConfig(**config), seed=seed)
    metrics.log_metric("members", built.count)
    metrics.log_metric("left out", built.left_out)
