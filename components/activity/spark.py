"""Sessions on Spark, for feeds that outgrow one machine: the same expression, the same parts."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from components.activity.config import ActivityConfig
from components.activity.schema import ACTION_SCHEMA, SESSION_SCHEMA, ActivityError
from components.activity.sessions import sessionise

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def write_parts(
    files: list[Path], target: Path, *, parts: int, rows: int, config: ActivityConfig
) -> dict[str, int]:
    """Write the numbered session parts of `files` into `target`, as the local engine does.

    A cluster is used when `spark-submit` or the Spark operator names one; otherwise all cores of
    this machine.

    Raises:
        ActivityError: Spark or Java is not installed, or a row lacks a value it has to have.
    """
    _require_spark()
    import ibis
    from pyspark.sql import functions as f

    scratch = target / "scratch"
    with _session(config, parts, scratch) as spark:
        actions = spark.read.parquet(*map(str, files)).select(ACTION_SCHEMA.names)
        _refuse_nulls(actions, files)
        actions.createOrReplaceTempView("actions")
        backend = ibis.pyspark.connect(spark)
        numbered = sessionise(backend.table("actions"), idle_minutes=config.idle_minutes)
        part = f.pmod(f.crc32(f.col("member_id").cast("binary")), f.lit(parts)).cast("int")
        sessions = spark.sql(ibis.to_sql(numbered, dialect="pyspark")).withColumn("part", part)
        (
            sessions.repartition(parts, "part")
            .sortWithinPartitions("part", "member_id", "ts", "sequence")
            .write.partitionBy("part")
            .parquet(str(scratch / "parts"))
        )
        written = _collect_parts(scratch / "parts", target, parts)
        counts = (
            spark.read.parquet(*map(str, written))
            .groupBy("member_id")
            .agg(f.max("session").alias("sessions"))
            .agg(f.sum("sessions"), f.count("sessions"))
            .first()
        )
    shutil.rmtree(scratch)
    sessions_made, members = counts or (0, 0)
    return {"sessions": sessions_made or 0, "members": members}


def _require_spark() -> None:
    try:
        import pyspark  # noqa: F401
    except ImportError as error:
        raise ActivityError(
            "activity.engine spark needs pyspark: pip install 'intent-store[spark]'"
        ) from error
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        raise ActivityError("activity.engine spark needs Java 17 on the path or in JAVA_HOME")


@contextmanager
def _session(config: ActivityConfig, parts: int, scratch: Path) -> "Iterator[SparkSession]":
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    # What spark-submit was told is known to the JVM that it started, and only there.
    SparkContext._ensure_initialized()
    conf = SparkConf()
    # On one machine nothing has to listen on the network.
    for key, value in {
        "spark.master": "local[*]",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.driver.memory": f"{int(config.memory_limit_gb * 1024)}m",
    }.items():
        conf.setIfMissing(key, value)
    conf.set("spark.sql.shuffle.partitions", str(parts))
    conf.set("spark.sql.warehouse.dir", str(scratch / "warehouse"))
    spark = SparkSession.builder.appName("sessions").config(conf=conf).getOrCreate()
    try:
        yield spark
    finally:
        spark.stop()


def _refuse_nulls(actions: "DataFrame", files: list[Path]) -> None:
    filled = [field.name for field in ACTION_SCHEMA if not field.nullable]
    row = actions.where(" OR ".join(f"{name} IS NULL" for name in filled)).first()
    if row:
        name = next(name for name in filled if row[name] is None)
        raise ActivityError(f"{files[0].parent}: column {name} has rows without a value")


def _collect_parts(folder: Path, target: Path, parts: int) -> list[Path]:
    """Give Spark's `part=N/part-...parquet` files their names; a part without rows gets one too."""
    paths = [target / f"part-{part:05d}.parquet" for part in range(parts)]
    for part, path in enumerate(paths):
        files = list((folder / f"part={part}").glob("*.parquet"))
        if files:
            files[0].rename(path)
        else:
            pq.write_table(SESSION_SCHEMA.empty_table(), path, store_schema=False)
    return paths
