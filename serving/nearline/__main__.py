"""Keep a store's vectors and entities up to date with a topic of actions."""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import start_http_server

from components.errors import IntentError
from components.store.store import open_store
from serving.nearline.config import NearlineConfig
from serving.nearline.consumer import ActionConsumer
from serving.nearline.errors import NearlineError
from serving.nearline.metrics import Metrics
from serving.nearline.predictor import Predictor
from serving.nearline.snapshot import Snapshot
from serving.nearline.updates import Updates

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; return the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO,
        format="time=%(asctime)s level=%(levelname)s logger=%(name)s %(message)s",
    )
    try:
        _serve(options)
    except IntentError as error:
        logger.error("stopped: %s", error)
        return 1
    return 0


def _serve(options: argparse.Namespace) -> None:
    config = NearlineConfig(
        topic=options.topic,
        dead_letters=options.dead_letters,
        lateness_minutes=options.lateness_minutes,
    )
    predictor = Predictor.open(options.package)
    snapshot = None
    if options.snapshot is not None:
        snapshot = Snapshot.open(options.snapshot, predictor)
    metrics = Metrics()
    with open_store(options.store, dataset=predictor.dataset, role="writer") as store:
        consumer = ActionConsumer(
            {"bootstrap.servers": options.brokers} | _read_properties(options.kafka),
            options.group,
            Updates(predictor, store, snapshot, config, metrics),
            options.state,
            config,
            metrics,
            since=None if snapshot is None else snapshot.data_time,
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: consumer.stop())
        if options.metrics is not None:
            host, _, port = options.metrics.rpartition(":")
            start_http_server(int(port), host or "127.0.0.1", registry=metrics.registry)
        logger.info("ready model=%s dataset=%s", predictor.embedder.version, predictor.dataset)
        consumer.run()


def _read_properties(path: Path | None) -> dict[str, str]:
    """Read `key=value` lines, as Kafka's tools take them; secrets stay off the command line."""
    if path is None:
        return {}
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
    except OSError as error:
        raise NearlineError(f"{path}: cannot be read: {error.strerror}") from error
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    for name, sign, _ in pairs:
        if not sign:
            raise NearlineError(f"{path}: {name!r} is not of the form key=value")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving.nearline", description=__doc__)
    add = parser.add_argument
    add("--brokers", required=True, help="host:port of one or more brokers, separated by commas")
    add("--kafka", type=Path, help="file of further librdkafka settings, key=value lines")
    add("--topic", required=True, help="of the actions, keyed by member id")
    add("--dead-letters", default="", help="topic of bad messages; TOPIC-dead when not given")
    add("--group", required=True, help="consumer group; its members share the partitions")
    add("--package", required=True, type=Path, help="suggestions package that makes the vectors")
    add("--store", required=True, help="lmdb:DIRECTORY, redis://..., as of `intent store`")
    add("--state", required=True, type=Path, help="directory of what is known of partitions")
    add("--snapshot", type=Path, help="finished run that members without state start from")
    add("--lateness-minutes", type=float, default=2.0, help="how far out of order actions come")
    add("--metrics", help="[host:]port of Prometheus metrics")
    return parser


if __name__ == "__main__":
    sys.exit(main())
