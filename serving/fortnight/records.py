"""What a replay writes down: outcomes, exposures of notifications, requests, applications.

An event is one outcome, of the request that it came from: whoever analyses an earlier request of
the same member, such as suggested searches, takes in the outcomes of the pages that followed.
"""

import time
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.experiments.experiments import Assigned, Experiments
from components.experiments.exposures import EXPOSURE_SCHEMA, OUTCOME_SCHEMA
from components.marketplace.codes import APPLY, IGNORED, SAVE
from serving.fortnight.client import Question, Reply
from serving.fortnight.responding import Responses
from serving.fortnight.uses import HomePages, Pages

TAKEN_SCHEMA = pa.schema({"member": pa.int64(), "text": pa.string()})
_REPLY = ("request_id", "experiment", "variant", "status", "seconds")
REQUEST_SCHEMA = pa.schema(
    {
        "service": pa.string(),
        "unit": pa.string(),
        "request_id": pa.string(),
        "experiment": pa.string(),
        "variant": pa.string(),
        "status": pa.int32(),
        "seconds": pa.float64(),
    }
)


class Recorder:
    """Makes tables of what members did, stamped with the moment they are made.

    Args:
        names: member ids, by row.
        predicted: whether hires are predicted.
    """

    def __init__(self, names: pa.Array, *, predicted: bool):
        self._names, self._predicted = names, predicted

    def of_home_pages(self, home: HomePages) -> pa.Table:
        """Outcomes of home pages: a click where a suggested search was taken."""
        clicked = np.flatnonzero([bool(text) for text in home.taken])
        return self._outcomes("click", home.member[clicked], _ids(home.replies, clicked))

    def of_pages(
        self, pages: Pages, found: Responses, ids: Sequence[str] | None = None
    ) -> pa.Table:
        """Outcomes of pages of postings: one click where anything was opened, and every action.

        Args:
            pages: that were served.
            found: what became of them.
            ids: of the exposure behind each page; those of the replies when not given.
        """
        ids = _ids(pages.replies) if ids is None else ids
        applied = np.flatnonzero(found.outcome == APPLY)
        rows = {
            "click": np.unique(found.page[found.outcome != IGNORED]),
            "save": found.page[found.outcome == SAVE],
            "apply": found.page[applied],
            "hire": found.page[found.hired],
        }
        values = {"pch": found.probability[applied]} if self._predicted else {}
        rows |= dict.fromkeys(values, rows["apply"])
        return pa.concat_tables(
            self._outcomes(name, pages.member[at], [ids[row] for row in at], values.get(name))
            for name, at in rows.items()
        )

    def exposures(
        self, service: str, experiments: Experiments, assigned: Sequence[Assigned], label: str
    ) -> pa.Table:
        """All members of an experiment are exposed to it, whatever they are sent.

        Args:
            service: that decides for all members at once.
            experiments: the members are assigned in.
            assigned: of each member, by row.
            label: of the day; see `exposure_id`.
        """
        now, rows = _now(), []
        for unit, own in zip(self._names.to_pylist(), assigned, strict=True):
            if own.experiment is None:
                continue
            experiment = experiments.by_name[own.experiment]
            rows.append(
                {
                    "ts": now,
                    "request_id": exposure_id(label, unit),
                    "service": service,
                    "protocol": "batch",
                    "experiment": own.experiment,
                    "revision": experiment.revision,
                    "unit": unit,
                    "variant": own.variant,
                    "served": own.variant,
                    "reason": own.reason,
                    "status": 200,
                    "seconds": 0.0,
                    "layer": experiment.layer.name if experiment.layer else "",
                }
            )
        return pa.Table.from_pylist(rows, EXPOSURE_SCHEMA)

    def _outcomes(
        self,
        metric: str,
        member: NDArray[np.int64],
        ids: Sequence[str],
        values: NDArray[np.float64] | None = None,
    ) -> pa.Table:
        count = len(member)
        columns = [
            self._names.take(pa.array(member, pa.int64())),
            pa.repeat(_now(), count),
            pa.repeat(metric, count),
            pa.array(np.ones(count) if values is None else values, pa.float64()),
            pa.array([own or None for own in ids], pa.string()),
        ]
        return pa.table(columns, schema=OUTCOME_SCHEMA)


def exposure_id(label: str, unit: str) -> str:
    """Name a member's exposure to what is decided for all members at once."""
    return f"{label}-{unit}"


def request_table(asked: Sequence[tuple[str, Question, Reply]]) -> pa.Table:
    """One row per request: service, unit, and what came back but the answer itself."""
    rows = [
        {
            "service": service,
            "unit": question.unit,
            **{name: getattr(reply, name) for name in _REPLY},
        }
        for service, question, reply in asked
    ]
    return pa.Table.from_pylist(rows, schema=REQUEST_SCHEMA)


def application_table(uses: Sequence[tuple[str, Pages, Responses]]) -> pa.Table:
    """One row per application: service, member and posting by row, and what it is worth."""
    parts = []
    for service, pages, found in uses:
        at = np.flatnonzero(found.outcome == APPLY)
        columns = {
            "service": pa.repeat(service, len(at)),
            "member": pa.array(pages.member[found.page[at]], pa.int64()),
            "posting": pa.array(found.posting[at], pa.int64()),
            "probability": found.probability[at],
            "hired": found.hired[at],
        }
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def _ids(replies: Sequence[Reply], rows: NDArray[np.int64] | None = None) -> list[str]:
    return [replies[row].request_id for row in (range(len(replies)) if rows is None else rows)]


def _now() -> int:
    return time.time_ns() // 1000
