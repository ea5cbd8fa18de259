"""Sending shipped exposures to where they are analysed: a folder or a bucket that routers share.

    exposures/parquet/date=.../NAME.parquet    waits to be sent
    exposures/sent/date=.../NAME.parquet       was sent; kept for the guardrails

There it is called date=.../<router>-NAME.parquet. A file is moved only once it has arrived, and one
that has arrived already is taken as sent: a kill at any point loses and doubles nothing. Only when
the target has been away for so long that there is no more room is the oldest given up, and counted.
"""

import logging
import threading
from pathlib import Path

from components.errors import IntentError
from components.variants.places import Changed, Place, open_place
from serving.router.log import SENT, ExposureLog

logger = logging.getLogger(__name__)

_AGAIN = 10.0  # seconds between tries


class Shipment:
    """Sends in a thread of its own, so that no request and no guardrail waits for a bucket.

    Attributes:
        dropped: files given up unsent since the start.
    """

    def __init__(self, log: ExposureLog, target: str, *, name: str, most: int):
        """Begin with what an earlier router left unsent.

        Args:
            log: whose files are sent.
            target: directory, or gs://bucket/prefix.
            name: of this router, which no other that ships there has.
            most: bytes of Parquet to keep here.
        """
        self.dropped = 0
        self._log = log
        self._waiting, self._sent = log.parquet, log.home / SENT
        self._target, self._name, self._most = target, name, most
        self._place: Place | None = None
        self._failing = False
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> list[Path]:
        """Files that are not sent yet, the oldest first."""
        return _files(self._waiting)

    def soon(self) -> None:
        """Have what is new be sent now."""
        self._wake.set()

    def close(self, *, wait: float = 20) -> None:
        """Send what is left, unless that takes too long; the next router sends the rest.

        Args:
            wait: seconds.
        """
        self._closing.set()
        self._wake.set()
        self._thread.join(wait)

    def _run(self) -> None:
        while True:
            last = self._closing.is_set()
            self._wake.clear()
            try:
                self._send()
                self._failing = False
            except Exception as error:  # Whatever a bucket answers, the next try may do.
                if not self._failing:
                    expected = isinstance(error, IntentError | OSError)
                    logger.error(
                        "exposures wait target=%s files=%d reason=%r",
                        self._target, len(self.waiting), str(error), exc_info=not expected,
                    )  # fmt: skip
                self._failing = True
            self._make_room()
            if last:
                return
            self._wake.wait(_AGAIN)

    def _send(self) -> None:
        for path in self.waiting:
            if self._place is None:
                self._place = open_place(self._target)
            day = path.parent.name
            try:
                self._place.write(
                    f"{day}/{self._name}-{path.name}", path.read_bytes(), instead_of=None
                )
            except Changed:
                logger.info("exposures had arrived already file=%s", path.name)
            (self._sent / day).mkdir(parents=True, exist_ok=True)
            with self._log.busy:
                path.rename(self._sent / day / path.name)

    def _make_room(self) -> None:
        sent, waiting = _files(self._sent), self.waiting
        size = sum(path.stat().st_size for path in (*sent, *waiting))
        for path in (*sent, *waiting):
            if size <= self._most:
                return
            size -= path.stat().st_size
            if path.is_relative_to(self._waiting):
                self.dropped += 1
                logger.error("exposures given up file=%s: no room until they are sent", path.name)
            with self._log.busy:
                path.unlink()


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("date=*/*.parquet"))
