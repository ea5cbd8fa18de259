"""The action topic, read as a member of a consumer group.

Where a partition is read from is told by its state, which changes together with its offset; the
offsets committed to the broker are only for those who watch the group's lag. Whoever gets a
partition without having its state begins at the daily snapshot and reads the topic from there.

The number of the topic's partitions may grow only together with a new snapshot: members change
partition then, and the states do not go with them.
"""

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic

from components.store.errors import StoreError
from serving.nearline.config import NearlineConfig
from serving.nearline.errors import NearlineError
from serving.nearline.messages import Message
from serving.nearline.metrics import Metrics
from serving.nearline.state import StaleError
from serving.nearline.updates import Partition, Updates

MICROSECONDS_PER_HOUR = 3_600_000_000
SECONDS_PER_TURN = 0.5
SECONDS_TO_ANSWER = 10.0
LONGEST_PAUSE = 30.0
LARGEST_DEAD_LETTER = 900_000
"""Bytes kept of a bad message: brokers refuse messages above a million by default."""

_NEVER = {
    KafkaError._UNKNOWN_TOPIC,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.MSG_SIZE_TOO_LARGE,
}
"""Refusals that waiting does not change."""

logger = logging.getLogger(__name__)


class UnsentError(NearlineError):
    """Dead letters that the broker has not taken."""


class ActionConsumer:
    """Reads partitions of the topic until it is stopped.

    Args:
        kafka: settings of librdkafka, `bootstrap.servers` among them.
        group: name of the consumer group.
        updates: what messages go to.
        state: directory of the partitions' states.
        config: topics and batch size.
        metrics: to count in.
        since: microseconds UTC that a partition without state is read from, an hour early because
            stamps differ; from its beginning if None.
    """

    def __init__(
        self,
        kafka: Mapping[str, str],
        group: str,
        updates: Updates,
        state: Path,
        config: NearlineConfig,
        metrics: Metrics,
        *,
        since: int | None = None,
    ):
        self._group, self._updates = group, updates
        self._kafka: dict[str, str | int | float | bool] = dict(kafka)
        self._state, self._config, self._metrics, self._since = state, config, metrics, since
        self._partitions: dict[int, Partition] = {}
        self._starts: dict[int, int] = {}
        self._stopped = threading.Event()
        self._away = self._moved = False
        self._pause = 0.0

    def stop(self) -> None:
        """Ask `run` to finish what it is at and to leave the group."""
        self._stopped.set()

    def run(self) -> None:
        """Read until `stop` is called.

        Raises:
            NearlineError: the state cannot be written, or the broker refuses us for good.
        """
        self._make_dead_topic()
        self._producer = Producer(
            self._kafka | {"linger.ms": 5, "message.timeout.ms": 30_000}, logger=logger
        )
        self._consumer = Consumer(
            {"session.timeout.ms": 30_000}
            | self._kafka
            | {
                "group.id": self._group,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "partition.assignment.strategy": "range",
                "error_cb": self._on_error,
            },
            logger=logger,
        )
        self._subscribe()
        more = False
        try:
            while not self._stopped.is_set():
                more = self._turn(0.0 if more else SECONDS_PER_TURN)
            self._commit_last()
        finally:
            self._consumer.close()
            self._release()
        logger.info("left group=%s", self._group)

    def _turn(self, wait: float) -> bool:
        """Take in what has come; return whether there is more to do than to wait for messages."""
        if self._away:
            self._look_for_broker()
        try:
            messages = self._consumer.consume(self._config.batch, wait)
            batches = {} if self._moved else self._sorted(messages)
        except KafkaException as error:
            self._check_fatal(error.args[0])
            self._wait("broker", error)
            self._release()
            self._consumer.unsubscribe()
            self._subscribe()
            return False
        if self._moved:
            # What came in the same breath may belong to places that are read again, or not by us.
            self._moved = False
            self._rewind()
        held = list(self._partitions.values())
        try:
            with self._metrics.seconds.time():
                more = self._updates.take(held, batches, self._bury)
        except (StoreError, UnsentError, StaleError) as error:
            self._wait(type(error).__name__.removesuffix("Error").lower(), error)
            self._rewind()
            return False
        if batches:
            self._consumer.commit(offsets=self._places(batches), asynchronous=True)
        self._pause = 0.0
        self._watch(batches)
        return more

    def _sorted(self, messages: Sequence) -> dict[int, list[Message]]:
        batches: dict[int, list[Message]] = {}
        for message in messages:
            error, number = message.error(), message.partition()
            if error is None:
                kind, stamp = message.timestamp()
                stamped = stamp * 1000 if kind else time.time_ns() // 1000
                taken = Message(message.offset(), stamped, message.key(), message.value())
                batches.setdefault(number, []).append(taken)
            elif error.code() == KafkaError._PARTITION_EOF:
                if number in self._partitions:
                    self._partitions[number].caught_up = True
            else:
                self._check_fatal(error)
                logger.warning("topic=%s error=%s", self._config.topic, error)
        for number, batch in batches.items():
            self._check_gap(number, batch[0].offset)
        return batches

    def _check_gap(self, number: int, offset: int) -> None:
        """Notice that the topic has let go of messages before we read them."""
        expected = self._partitions[number].state.offset
        if expected is not None and offset > expected:
            # Transactions leave small gaps, too; what the topic no longer holds was never read.
            oldest, _ = self._consumer.get_watermark_offsets(
                TopicPartition(self._config.topic, number), timeout=SECONDS_TO_ANSWER
            )
            if oldest > expected:
                self._metrics.lost.inc(oldest - expected)
                logger.error(
                    "partition=%d lost=%d: gone from the topic; start from a new snapshot",
                    number,
                    oldest - expected,
                )

    def _subscribe(self) -> None:
        self._consumer.subscribe(
            [self._config.topic],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_revoke,
        )

    def _on_assign(self, _: Consumer, places: Sequence[TopicPartition]) -> None:
        for place in places:
            directory = self._state / f"{self._config.topic}-{place.partition}"
            partition = self._updates.open_partition(place.partition, directory)
            self._partitions[place.partition] = partition
            self._find_start(partition)
        self._moved = True
        self._rewind()
        logger.info("assigned=%s", sorted(self._partitions))

    def _find_start(self, partition: Partition) -> None:
        place, state = TopicPartition(self._config.topic, partition.number), partition.state
        oldest, end = self._consumer.get_watermark_offsets(place, timeout=SECONDS_TO_ANSWER)
        if state.offset is not None and state.offset > end:
            logger.error("partition=%d: the topic began anew, so do we", partition.number)
            with state.change():
                state.offset = oldest
        if state.offset is None and self._since is not None:
            place.offset = max(self._since - MICROSECONDS_PER_HOUR, 0) // 1000
            (found,) = self._consumer.offsets_for_times([place], timeout=SECONDS_TO_ANSWER)
            self._starts[partition.number] = found.offset if found.offset >= 0 else end
        else:
            self._starts[partition.number] = oldest

    def _rewind(self) -> None:
        """Read on from where the states stand."""
        for partition in self._partitions.values():
            partition.state.reload()
            partition.caught_up = False
        topic = self._config.topic
        places = [TopicPartition(topic, number, self._at(number)) for number in self._partitions]
        self._consumer.assign(places)

    def _at(self, number: int) -> int:
        offset = self._partitions[number].state.offset
        return self._starts[number] if offset is None else offset

    def _on_revoke(self, _: Consumer, __: Sequence[TopicPartition]) -> None:
        self._moved = True
        self._release()

    def _release(self) -> None:
        for partition in self._partitions.values():
            partition.state.close()
        self._partitions.clear()

    def _commit_last(self) -> None:
        places = self._places(self._partitions)
        try:
            if places:
                self._consumer.commit(offsets=places, asynchronous=False)
        except KafkaException as error:
            logger.warning("offsets were not committed: %s", error)

    def _places(self, numbers: Iterable[int]) -> list[TopicPartition]:
        states = [(number, self._partitions[number].state.offset) for number in numbers]
        topic = self._config.topic
        return [TopicPartition(topic, number, at) for number, at in states if at is not None]

    def _bury(self, letters: Sequence[tuple[int, Message, str]]) -> None:
        failed: list[KafkaError] = []
        for number, message, reason in letters:
            headers = {
                "reason": reason,
                "topic": self._config.topic,
                "partition": str(number),
                "offset": str(message.offset),
            }
            try:
                self._producer.produce(
                    self._config.dead_topic,
                    key=message.key,
                    value=(message.value or b"")[:LARGEST_DEAD_LETTER],
                    headers=list(headers.items()),
                    on_delivery=lambda error, _: failed.append(error) if error else None,
                )
            except KafkaException as error:
                failed.append(error.args[0])
            self._producer.poll(0)
        waiting = self._producer.flush(LONGEST_PAUSE)
        if waiting or any(error.code() not in _NEVER for error in failed):
            self._producer.purge()
            raise UnsentError(f"topic={self._config.dead_topic}: not taken: {failed[:1]}")
        if failed:
            # One bad message must not stop the line; it stays in its own topic, at that offset.
            self._metrics.failures.labels("dead_letters").inc(len(failed))
            places = [(number, message.offset) for number, message, _ in letters]
            logger.error("not buried, %s: partition and offset in %s", failed[0], places)

    def _make_dead_topic(self) -> None:
        """Make the dead-letter topic where there is none and we may."""
        admin = AdminClient(self._kafka, logger=logger)
        topic = self._config.dead_topic
        try:
            (made,) = admin.create_topics([NewTopic(topic, 1, -1)]).values()
            made.result(SECONDS_TO_ANSWER)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                logger.warning("topic=%s was not created: %s", topic, error)

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN and not self._away:
            self._away = True
            self._metrics.failures.labels("broker").inc()
            logger.error("no broker answers, waiting: %s", error)

    def _look_for_broker(self) -> None:
        # While nobody answers the clock proves nothing: actions may be waiting on the other side.
        for partition in self._partitions.values():
            partition.caught_up = False
        try:
            self._consumer.list_topics(self._config.topic, timeout=1.0)
        except KafkaException:
            return
        self._away = False
        self._rewind()
        logger.info("the broker is back")

    def _wait(self, what: str, error: Exception) -> None:
        self._metrics.failures.labels(what).inc()
        self._pause = min(max(2 * self._pause, 0.5), LONGEST_PAUSE)
        logger.error("retry_in=%.1fs of=%s: %s", self._pause, what, error)
        self._stopped.wait(self._pause)

    def _check_fatal(self, error: KafkaError) -> None:
        if error.fatal():
            raise NearlineError(f"the broker refuses group {self._group}: {error}")

    def _watch(self, batches: Mapping[int, list[Message]]) -> None:
        for number, partition in self._partitions.items():
            place = TopicPartition(self._config.topic, number)
            _, end = self._consumer.get_watermark_offsets(place, cached=True)
            waiting = max(end - self._at(number), 0)
            partition.caught_up = partition.caught_up and not waiting
            self._metrics.lag.labels(number).set(waiting)
            if not waiting:
                self._metrics.behind.labels(number).set(0)
            elif number in batches:
                age = time.time() - batches[number][-1].time / 1e6
                self._metrics.behind.labels(number).set(age)
