"""Kubeflow steps of the store room."""

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def publish(
    vectors: dsl.Input[dsl.Dataset],
    entities: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Dataset],
    sessions: dsl.Input[dsl.Dataset],
    store: str,
    dataset: str,
    keep: int,
    workers: int,
    metrics: dsl.Output[dsl.Metrics],
):
    """Push vectors and entities to the store, as the version that is read from then on."""
    from pathlib import Path

    from components.labels.examples import LABELS
    from components.store.push import Source, newest_action, push

    version = push(
        store,
        dataset,
        Source(Path(vectors.path), Path(entities.path)),
        labels=Path(examples.path) / LABELS,
        data_time=newest_action(Path(sessions.path)),
        keep=keep,
        workers=workers,
    )
    metrics.log_metric("version", version.number)
    metrics.log_metric("members", version.members)
