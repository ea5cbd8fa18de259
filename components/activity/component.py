"""Kubeflow steps of the activity room."""

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def ingest(
    source: dict,
    vertical: dict,
    config: dict,
    seed: int,
    feed: dsl.Output[dsl.Dataset],
    truth: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
):
    """Read the source's actions, or generate a marketplace and, apart, the truth about it."""
    from pathlib import Path

    from components.activity.config import ActivityConfig, Vertical
    from components.activity.ingest import ingest_source

    counts = ingest_source(
        source,
        Vertical(**vertical),
        ActivityConfig(**config),
        feed=Path(feed.path),
        truth=Path(truth.path),
        seed=seed,
    )
    for name in ("actions", "quarantined", "duplicates"):
        metrics.log_metric(name, counts[name])


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def cut_sessions(
    feed: dsl.Input[dsl.Dataset],
    config: dict,
    job: dict,
    sessions: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
):
    """Merge channels and cut each member's actions into sessions, here or by a SparkApplication."""
    from pathlib import Path

    from components.activity.config import ActivityConfig
    from components.activity.posting_labels import carry_posting_labels

    given = (Path(feed.path, "actions"), Path(sessions.path), ActivityConfig(**config))
    if job:
        from components.activity.on_cluster import cut_sessions_on_spark
        from components.cluster.config import JobConfig

        counts = cut_sessions_on_spark(*given, job=JobConfig(**job))
    else:
        from components.activity.sessions import write_sessions

        counts = write_sessions(*given)
    carry_posting_labels(Path(feed.path), Path(sessions.path))
    for name, count in counts.items():
        metrics.log_metric(name, count)


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def describe_sessions(
    sessions: dsl.Input[dsl.Dataset],
    vertical: dict,
    source: dict,
    described: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
):
    """Describe the sessions, beside the paper's where they are of a job marketplace."""
    from pathlib import Path

    from components.activity.config import Vertical
    from components.activity.report import session_report

    rows = session_report(
        Path(sessions.path),
        Path(described.path),
        Vertical(**vertical),
        published_comparison=source["kind"] in ("jobs", "files"),
    )
    for row in rows:
        if row["value"] is not None:
            metrics.log_metric(row["statistic"], row["value"])
