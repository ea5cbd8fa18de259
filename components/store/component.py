"""Kubeflow step of the store room."""

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def publish(
    vectors: dsl.Input[dsl.Dataset],
    entities: dsl.Input[dsl.Dataset],
    sessions: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Dataset],
    store: str,
    dataset: str,
    published: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
):
    """Push everyone's vectors and entities as the dataset's next version, and switch to it."""
    import json
    from dataclasses import asdict
    from pathlib import Path

    from components.activity.sessions import newest_action
    from components.store.push import Source, push

    version = push(
        store,
        dataset,
        Source(Path(vectors.path), Path(entities.path)),
        data_time=newest_action(Path(sessions.path)),
        labels=Path(examples.path) / "labels.parquet",
    )
    Path(published.path).write_text(json.dumps(asdict(version), indent=1) + "\n")
    metrics.log_metric("members", version.members)
    metrics.log_metric("version", version.number)
