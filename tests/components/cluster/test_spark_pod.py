"""What the containers of a SparkApplication run, as Spark's own entry script would have it."""

from pathlib import Path

import pytest

from components.cluster.spark_pod import EXECUTOR, command

HOME = Path("/opt/pyspark")
EXECUTORS = {
    "SPARK_EXECUTOR_MEMORY": "4096m",
    "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@driver:7078",
    "SPARK_EXECUTOR_ID": "3",
    "SPARK_EXECUTOR_CORES": "2",
    "SPARK_APPLICATION_ID": "spark-0a",
    "SPARK_EXECUTOR_POD_IP": "10.0.0.7",
    "SPARK_RESOURCE_PROFILE_ID": "0",
    "SPARK_EXECUTOR_POD_NAME": "sessions-exec-3",
    "SPARK_CONF_DIR": "/opt/spark/conf",
    "SPARK_JAVA_OPT_10": "-Dlast=1",
    "SPARK_JAVA_OPT_2": "-Dfirst=1",
}


def test_a_driver_submits_its_program_in_its_own_process():
    line, own = command(
        ["driver", "--properties-file", "p", "local:///app.py", "in"],
        {"SPARK_DRIVER_BIND_ADDRESS": "10.0.0.4"},
        HOME,
    )
    assert line[0] == "/opt/pyspark/bin/spark-submit"
    assert "spark.driver.bindAddress=10.0.0.4" in line
    rest = ["--deploy-mode", "client", "--properties-file", "p", "local:///app.py", "in"]
    assert line[-len(rest) :] == rest
    assert own == {"SPARK_HOME": "/opt/pyspark"}


def test_an_executor_finds_its_driver():
    line, _ = command(["executor"], EXECUTORS, HOME)
    start = line.index(EXECUTOR)
    options = dict(zip(line[start + 1 :: 2], line[start + 2 :: 2], strict=True))
    assert line[:3] == ["java", "-Dfirst=1", "-Dlast=1"]
    assert {"-Xms4096m", "-Xmx4096m"} <= set(line[:start])
    assert line[line.index("-cp") + 1] == "/opt/spark/conf:/opt/pyspark/jars/*"
    assert options == {
        "--driver-url": "spark://CoarseGrainedScheduler@driver:7078",
        "--executor-id": "3",
        "--cores": "2",
        "--app-id": "spark-0a",
        "--hostname": "10.0.0.7",
        "--resourceProfileId": "0",
        "--podName": "sessions-exec-3",
    }


def test_java_home_is_heeded():
    line, _ = command(["executor"], EXECUTORS | {"JAVA_HOME": "/opt/jre"}, HOME)
    assert line[0] == "/opt/jre/bin/java"


def test_any_other_container_is_refused():
    with pytest.raises(ValueError, match="not 'bash'"):
        command(["bash"], {}, HOME)
