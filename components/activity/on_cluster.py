"""Sessions of a feed that outgrows one machine, cut by a SparkApplication."""

import json
from pathlib import Path

from components.activity import spark_job
from components.activity.config import ActivityConfig
from components.activity.spark_job import SessionsRequest
from components.cluster.config import JobConfig
from components.cluster.handover import Handover
from components.cluster.launch import Launcher, job_labels
from components.cluster.sparkapplication import spark_application


def cut_sessions_on_spark(
    actions: Path,
    target: Path,
    config: ActivityConfig,
    *,
    job: JobConfig,
    launcher: Launcher | None = None,
) -> dict[str, int]:
    """Write sessions as `write_sessions` does, by executors on a cluster.

    Args:
        actions: a folder of Parquet files with the columns of `ACTION_SCHEMA`.
        target: directory to create or replace.
        config: idle limit and partitions.
        job: executors, and where.
        launcher: makes and follows the application; from `job` when None.

    Returns:
        What `sessions.json` holds.

    Raises:
        ClusterError: the shared volume is not mounted, or the application failed.
    """
    launcher = launcher or Launcher(job)
    name = launcher.name("sessions", str(actions), config.model_dump(), job.image)
    shared = Handover(job.work, name)
    output = shared.output("sessions")
    if not output.exists():  # an earlier try may have been stopped between job and hand-over
        request = SessionsRequest(
            actions=shared.give("actions", actions), target=output, config=config
        )
        written = shared.write("request.json", request.model_dump_json())
        launcher.run(
            spark_application(
                name, spark_job.__file__, [str(written)], job, labels=job_labels("sessions")
            )
        )
    shared.take("sessions", target)
    shared.clear()
    return json.loads((target / "sessions.json").read_text())
