"""What stops a variant that harms: guardrails judged by the exposures and outcomes of late."""

import json
import logging
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.errors import IntentError
from components.experiments.experiments import Experiments
from components.experiments.exposures import OUTCOME_SCHEMA, read_outcomes
from components.experiments.manifest import Experiment
from components.files import whole_file
from serving.router.log import ExposureLog
from serving.router.settings import Settings
from serving.router.source import Source

logger = logging.getLogger(__name__)

TRIPS = "trips.json"

_SAME = ("experiment", "revision", "variant", "metric")


class Guard:
    """Looks at the guardrails of every experiment, and sets variants that trip one to 0 %.

    Attributes:
        experiments: that hold now; kept up to date by the router.
        trips: what tripped, the oldest first; kept over restarts.
    """

    def __init__(self, settings: Settings, source: Source, log: ExposureLog):
        """Take up the trips there were.

        Args:
            settings: places, and how far back to look.
            source: of the manifests.
            log: of the exposures.
        """
        self.experiments = Experiments()
        self._file = settings.state.resolve() / TRIPS
        self.trips: list[dict[str, Any]] = _read(self._file)
        self._settings = settings
        self._source = source
        self._log = log

    def look(self) -> bool:
        """Judge every experiment that has guardrails and gives a variant to somebody.

        Returns:
            Whether one tripped that had not before.
        """
        watched = [
            e
            for e in self.experiments
            if e.guardrails and not e.stopped and any(v.percent for v in e.treatments)
        ]
        if not watched:
            return False
        since = int((time.time() - self._settings.guard_hours * 3600) * 1e6)
        exposures = self._log.recent(since, {e.revision for e in watched})
        outcomes = self._outcomes()
        judged = [self._judge(e, exposures, outcomes) for e in watched]
        return any(judged)

    def without_ended(self, experiments: Experiments) -> Experiments:
        """Take out what was ended, also where its manifest could not be changed.

        Args:
            experiments: as their manifests say; a variant that tripped under a revision gets
                nobody as long as that revision holds.
        """
        ended = {
            (trip["experiment"], trip["revision"], trip["variant"])
            for trip in self.trips
            if trip["action"] == "stop"
        }
        return replace(
            experiments,
            by_name={
                name: replace(
                    e,
                    variants=tuple(
                        replace(v, percent=0.0) if (name, e.revision, v.name) in ended else v
                        for v in e.variants
                    ),
                )
                for name, e in experiments.by_name.items()
            },
        )

    def _judge(self, experiment: Experiment, exposures: pa.Table, outcomes: pa.Table) -> bool:
        # scipy and statsmodels take seconds to import, which a router without guardrails saves.
        from components.experiments.guardrails import check

        tripped = False
        for trip in check(experiment, exposures, outcomes):
            found = {**asdict(trip), "revision": experiment.revision}
            if any(all(known[k] == found[k] for k in _SAME) for known in self.trips):
                continue
            if trip.action == "stop":
                try:
                    self._source.end_variant(experiment, trip.variant)
                except (IntentError, OSError) as error:
                    logger.error("variant ended here only, reason=%r", str(error))
            self.trips = [*self.trips, found]
            with whole_file(self._file) as aside:
                aside.write_text(json.dumps(self.trips, indent=2) + "\n")
            logger.warning(
                "guardrail tripped experiment=%s variant=%s action=%s reason=%r",
                experiment.name, trip.variant, trip.action, trip.reason,
            )  # fmt: skip
            tripped = True
        return tripped

    def _outcomes(self) -> pa.Table:
        folder = self._settings.outcomes
        if folder is None or not folder.is_dir() or not any(folder.rglob("*.parquet")):
            return OUTCOME_SCHEMA.empty_table()
        return read_outcomes(folder)


def _read(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text()) if path.exists() else []
