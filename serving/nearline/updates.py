"""Batches of messages to records in the store: everything between the topic and the store.

What happens to a batch, in this order: its bad messages go to the dead letters, its actions and
the sessions they end become trails, records reach the store, and one transaction per partition
makes the state and its offset durable. A crash before the last step repeats the batch, whose
records the store then already has.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.activity.sessions import MICROSECONDS_PER_MINUTE
from components.store.errors import StoreError
from components.store.records import Records
from components.store.store import Store
from serving.nearline.config import NearlineConfig
from serving.nearline.messages import Message, Reader
from serving.nearline.metrics import Metrics
from serving.nearline.predictor import Predictor, Update
from serving.nearline.snapshot import Snapshot
from serving.nearline.state import Closing, PartitionState
from serving.nearline.trail import Trail

Bury = Callable[[Sequence[tuple[int, Message, str]]], None]
"""Sends partition, message and reason of bad messages away, or raises."""


@dataclass(slots=True)
class Partition:
    """A partition in our hands.

    Attributes:
        number: in the topic.
        state: its members.
        caught_up: whether every message of it has been read.
        cleared: whether members who were deleted from the store are gone from the state, too.
    """

    number: int
    state: PartitionState
    caught_up: bool = False
    cleared: bool = False


class Updates:
    """Keeps the store up to date with what comes in.

    Attributes:
        predictor: makes vectors and entities.

    Args:
        predictor: of one package.
        store: takes records; opened as a writer.
        snapshot: the daily run to start members from, if there is one.
        config: when sessions are over.
        metrics: to count in.
    """

    def __init__(
        self,
        predictor: Predictor,
        store: Store,
        snapshot: Snapshot | None,
        config: NearlineConfig,
        metrics: Metrics,
    ):
        self.predictor, self._store, self._snapshot = predictor, store, snapshot
        self._config, self._metrics = config, metrics
        self._reader = Reader(predictor.vertical, config)
        self._longest = int(config.longest_minutes * MICROSECONDS_PER_MINUTE)
        self._lateness = int(config.lateness_minutes * MICROSECONDS_PER_MINUTE)

    def open_partition(self, number: int, directory: Path) -> Partition:
        """Open what is known of a partition.

        Raises:
            NearlineError: the directory cannot be used.
        """
        identity = f"{self.predictor.identity}-{self._snapshot.identity if self._snapshot else 0}"
        state = PartitionState(
            directory, identity=identity, idle=self.predictor.idle, longest=self._longest
        )
        return Partition(number, state)

    def take(
        self, partitions: Sequence[Partition], batches: Mapping[int, list[Message]], bury: Bury
    ) -> bool:
        """Take in messages, by partition number, and close the sessions that are over.

        Returns:
            Whether more sessions are over than were closed.

        Raises:
            StoreError: the store did not take the records; nothing has changed.
            StaleError: somebody else has a partition; nothing of it has changed.
            NearlineError: the state cannot be written.
        """
        for partition in partitions:
            if not partition.cleared:
                self._clear(partition)
        with ExitStack() as changes:
            self._read(partitions, batches, bury, changes)
            closings: list[tuple[Partition, Closing]] = []
            for partition in partitions:
                watermark = self._watermark(partition)
                if not partition.state.is_due(watermark):
                    continue
                if partition.number not in batches:
                    changes.enter_context(partition.state.change())
                room = self._config.closings - len(closings)
                due = partition.state.due(watermark, room)
                closings += ((partition, closing) for closing in due)
            if closings:
                self._update(closings)
        self._metrics.open.set(sum(partition.state.open_members for partition in partitions))
        return any(p.state.is_due(self._watermark(p)) for p in partitions)

    def _clear(self, partition: Partition) -> None:
        deleted = self._store.deleted()
        if deleted and partition.state.offset is not None:
            with partition.state.change():
                for member_id in deleted:
                    partition.state.forget(member_id)
        partition.cleared = True

    def _read(
        self,
        partitions: Sequence[Partition],
        batches: Mapping[int, list[Message]],
        bury: Bury,
        changes: ExitStack,
    ) -> None:
        """Add the batches' actions to the states, which change until `changes` is left."""
        held = {partition.number: partition.state for partition in partitions}
        sources = [(n, message) for n, batch in batches.items() for message in batch]
        for number, batch in batches.items():
            changes.enter_context(held[number].change())
            held[number].offset = batch[-1].offset + 1
        if not sources:
            return
        read = self._reader.read([message for _, message in sources])
        if read.refused:
            bury([(*sources[position], reason) for position, reason in read.refused])
        for _, reason in read.refused:
            self._metrics.dead.labels(reason).inc()
        for action in read.actions:
            number, message = sources[action.position]
            state = held[number]
            state.add(action, message.offset)
            if action.ts >= state.newest:
                state.newest, state.stamped = action.ts, message.time
        self._metrics.messages.inc(len(sources))

    def _update(self, closings: list[tuple[Partition, Closing]]) -> None:
        trails = [
            partition.state.trail(closing.member_id) or self._start(closing.member_id)
            for partition, closing in closings
        ]
        update = self.predictor.extend(trails, [closing.actions for _, closing in closings])
        gone = self.write([closing.member_id for _, closing in closings], update)
        for (partition, closing), trail in zip(closings, update.trails, strict=True):
            partition.state.settle(closing, trail)
            if closing.member_id in gone:
                partition.state.forget(closing.member_id)
        self._metrics.late.inc(update.late)
        self._metrics.sessions.inc(update.sessions)
        self._metrics.encoded.inc(update.encoded)

    def write(self, member_ids: list[str], update: Update) -> set[str]:
        """Write the records of those who moved.

        Args:
            member_ids: of the update.
            update: as the predictor gave it.

        Returns:
            Whom the store has deleted, if anybody of the update is among them.

        Raises:
            StoreError: the store did not take them.
        """
        if not update.moved:
            return set()
        model = self.predictor.embedder.version
        versions = [version for version in self._store.versions() if version.model == model]
        if not versions:
            # Written nowhere, records would be missing from the version that comes.
            raise StoreError(f"no version of encoder {model} has been pushed yet")
        schema = versions[-1].schema
        labels, scores = self.predictor.rank(update, schema.surfaces, schema.entities)
        times = np.array([update.trails[place].until for place in update.moved], np.int64)
        moved = [member_ids[place] for place in update.moved]
        records = Records(moved, update.vectors, labels, scores, times)
        written = self._store.write(records, model=model)
        landed = len(moved) - written.refused - written.deleted
        for result, count in (
            ("landed", landed),
            ("refused", written.refused),
            ("deleted", written.deleted),
        ):
            self._metrics.written.labels(result).inc(count)
        return set(self._store.deleted()) if written.deleted else set()

    def _start(self, member_id: str) -> Trail:
        if self._snapshot is None:
            return Trail.empty(self.predictor.embedder.dimension)
        return self._snapshot.trail(member_id, self.predictor.embedder)

    def _watermark(self, partition: Partition) -> int:
        """Event time that nothing earlier is awaited at: the newest, and the clock's way since."""
        state = partition.state
        passed = time.time_ns() // 1000 - state.stamped if partition.caught_up else 0
        return state.newest + max(passed, 0) - self._lateness
