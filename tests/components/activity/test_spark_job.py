"""What spark-submit runs writes what DuckDB does, where spark-submit says."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.activity import spark_job
from components.activity.config import ActivityConfig
from components.activity.sessions import write_sessions
from components.activity.spark_job import SessionsRequest
from tests.components.activity.test_sessions import many_actions, write_feed

CONFIG = ActivityConfig(partitions=3)


@pytest.fixture(scope="module")
def feed(tmp_path_factory):
    return write_feed(tmp_path_factory.mktemp("spark") / "feed", many_actions(rows=5000))


@pytest.fixture
def submit(tmp_path):
    """Run spark-submit as the operator's driver does; return its exit code and what it wrote."""
    pyspark = pytest.importorskip("pyspark", reason="the Spark engine needs pyspark")
    if not shutil.which("java"):
        pytest.skip("the Spark engine needs Java, which is not on the path")

    def submit(request, *options):
        (tmp_path / "request.json").write_text(request.model_dump_json())
        done = subprocess.run(
            [
                *(str(Path(pyspark.__file__).parent / "bin/spark-submit"), "--master", "local[2]"),
                *("--conf", "spark.driver.host=127.0.0.1", "--conf", "spark.ui.enabled=false"),
                *(*options, spark_job.__file__, str(tmp_path / "request.json")),
            ],
            env=os.environ
            | {"PYSPARK_PYTHON": sys.executable, "PYTHONPATH": str(Path(__file__).parents[3])},
            capture_output=True,
            text=True,
            timeout=300,
        )
        return done.returncode, done.stdout + done.stderr

    return submit


def test_spark_submit_writes_the_same_parts_where_it_is_told_to(submit, feed, tmp_path):
    request = SessionsRequest(actions=feed, target=tmp_path / "found", config=CONFIG)
    (tmp_path / "events").mkdir()
    events = [
        "spark.eventLog.enabled=true",
        "spark.eventLog.compress=false",
        f"spark.eventLog.dir={tmp_path / 'events'}",
    ]
    code, said = submit(request, *(word for event in events for word in ("--conf", event)))
    assert code == 0, said
    write_sessions(feed, tmp_path / "expected", CONFIG)
    files = sorted(path.name for path in (tmp_path / "expected").iterdir())
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == files
    for name in files:
        found, expected = tmp_path / "found" / name, tmp_path / "expected" / name
        if name.endswith(".parquet"):
            schema = pq.read_schema(expected)
            assert pq.read_table(found).cast(schema).equals(pq.read_table(expected)), name
        else:
            assert found.read_text() == expected.read_text()
    written = "".join(
        path.read_text(errors="replace")
        for path in (tmp_path / "events").rglob("*")
        if path.is_file() and not path.name.endswith(".crc")
    )
    assert '"spark.master":"local[2]"' in written


def test_a_feed_without_actions_fails_by_name_and_leaves_nothing(submit, tmp_path):
    (tmp_path / "empty").mkdir()
    request = SessionsRequest(actions=tmp_path / "empty", target=tmp_path / "found", config=CONFIG)
    code, said = submit(request)
    assert code == 1
    assert "error: " in said
    assert "empty: holds no Parquet file" in said
    assert not (tmp_path / "found").exists()
