"""What spark-submit runs: sessions of a feed, cut on the executors that it was given.

spark-submit components/activity/spark_job.py REQUEST
"""

import json
import sys
from pathlib import Path

from components.activity.config import ActivityConfig
from components.activity.sessions import write_sessions
from components.config import Config
from components.errors import IntentError


class SessionsRequest(Config):
    """What to cut into sessions; all paths on a volume that driver and executors share.

    Attributes:
        actions: folder of Parquet files of actions.
        target: sessions directory to write.
        config: idle limit and partitions; its engine is Spark, whatever it says.
    """

    actions: Path
    target: Path
    config: ActivityConfig


def run(request: SessionsRequest) -> dict[str, int]:
    """Write the sessions of a request, and return what was counted.

    Raises:
        ActivityError: as `write_sessions`.
    """
    config = request.config.model_copy(update={"engine": "spark"})
    return write_sessions(request.actions, request.target, config)


def main() -> None:
    """Do what the request in the file named by the first argument says."""
    try:
        print(json.dumps(run(SessionsRequest.model_validate_json(Path(sys.argv[1]).read_text()))))
    except IntentError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
