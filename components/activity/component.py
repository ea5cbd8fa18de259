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
    sessions: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
):
    """Merge channels and cut each member's actions into sessions."""
    from pathlib import Path

    from components.activity.config import ActivityConfig
    from components.activity.sessions import write_sessions

    counts = write_sessions(
        Path(feed.path, "actions"), Path(sessions.path), ActivityConfig(**config)
    )
    for name, count in counts.items():
        metrics.log_metric(name, count)


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def describe_sessions(
    sessions: dsl.Input[dsl.Dataset],
    source: dict,
    described: dsl.Output[dsl.Artifact],
):
    """Count the sessions."""
    import json
    from pathlib import Path

    counts = json.loads(Path(sessions.path, "sessions.json").read_text())
    rows = [{"statistic": name, source["kind"]: count} for name, count in counts.items()]
    Path(described.path).mkdir()
    Path(described.path, "report.json").write_text(json.dumps({"rows": rows, "figures": []}))
