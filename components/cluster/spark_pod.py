"""Starts the driver or an executor of a SparkApplication, in the image of all other steps.

Spark on Kubernetes starts its containers with the argument `driver` or `executor`, and leaves it to
the image's own script to make of it, and of environment variables, what is to run. Our images have
PySpark as Python installs it, which comes without that script.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

EXECUTOR = "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"


def command(
    arguments: Sequence[str], environment: Mapping[str, str], home: Path
) -> tuple[list[str], dict[str, str]]:
    """Return what to run in a container of Spark's, and in which environment.

    Args:
        arguments: of the container: `driver` and those of spark-submit, or `executor`.
        environment: of the container.
        home: where PySpark is installed.

    Raises:
        ValueError: neither a driver nor an executor.

    Source: Spark's own resource-managers/kubernetes/docker/.../entrypoint.sh.
    """
    role, *rest = [*arguments, ""]
    own = {"SPARK_HOME": str(home)}
    if role == "driver":
        address = environment.get("SPARK_DRIVER_BIND_ADDRESS", "0.0.0.0")
        return [
            str(home / "bin/spark-submit"),
            *("--conf", f"spark.driver.bindAddress={address}"),
            *("--conf", f"spark.executorEnv.SPARK_DRIVER_POD_IP={address}"),
            *("--deploy-mode", "client"),
            *rest[:-1],
        ], own
    if role == "executor":
        memory = environment["SPARK_EXECUTOR_MEMORY"]
        options = [
            environment[name]
            for name in sorted(
                (name for name in environment if name.startswith("SPARK_JAVA_OPT_")),
                key=lambda name: int(name.removeprefix("SPARK_JAVA_OPT_")),
            )
        ]
        classes = [environment.get("SPARK_CONF_DIR", ""), f"{home}/jars/*"]
        return [
            _java(environment),
            *options,
            *(f"-Xms{memory}", f"-Xmx{memory}"),
            *("-cp", os.pathsep.join(filter(None, classes))),
            EXECUTOR,
            *("--driver-url", environment["SPARK_DRIVER_URL"]),
            *("--executor-id", environment["SPARK_EXECUTOR_ID"]),
            *("--cores", environment["SPARK_EXECUTOR_CORES"]),
            *("--app-id", environment["SPARK_APPLICATION_ID"]),
            *("--hostname", environment["SPARK_EXECUTOR_POD_IP"]),
            *("--resourceProfileId", environment["SPARK_RESOURCE_PROFILE_ID"]),
            *("--podName", environment["SPARK_EXECUTOR_POD_NAME"]),
        ], own
    raise ValueError(f"a container of Spark's is a driver or an executor, not {role!r}")


def main() -> None:
    """Become the process that the container's arguments ask for."""
    import pyspark

    line, own = command(sys.argv[1:], os.environ, Path(pyspark.__file__).parent)
    os.execvpe(line[0], line, os.environ | own)


def _java(environment: Mapping[str, str]) -> str:
    home = environment.get("JAVA_HOME")
    return f"{home}/bin/java" if home else "java"


if __name__ == "__main__":
    main()
