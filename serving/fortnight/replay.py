"""Replay a generated marketplace's members against a router, day by day.

What a replay keeps, below its state directory:

- `replay.json`: the settings; another replay does not go on where this one stopped.
- `outcomes/<service>/day-NN.parquet`: of OUTCOME_SCHEMA, at the time they are written, so that the
  router's guard sees them while the replay goes on.
- `exposures/day-NN.parquet`: of notifications, because those are decided for all members at once,
  not by a request of each; the router logs all others.
- `days/day-NN/`: what a day leaves: `requests`, `applications`, `taken`. A day is done when this is
  there; one that was cut short is replayed.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.experiments.experiments import load_experiments
from components.experiments.exposures import write_exposures, write_outcomes
from components.files import whole_directory, whole_file
from components.marketplace.population import Population
from components.progress import progress
from serving.fortnight.client import Question, Reply
from serving.fortnight.config import FortnightConfig
from serving.fortnight.errors import FortnightError
from serving.fortnight.records import (
    TAKEN_SCHEMA,
    Recorder,
    application_table,
    exposure_id,
    request_table,
)
from serving.fortnight.responding import Judge, Responses
from serving.fortnight.uses import Asks, Pages, Uses
from serving.fortnight.visits import draw_visits

SUGGESTIONS, RANKER, AUDIENCE = "suggestions", "ranker", "audience"
CANDIDATES = "candidates"
SETTINGS = "replay.json"
FEWEST_FAILURES = 5

logger = logging.getLogger(__name__)


class Replay:
    """A replay that goes on where it stopped.

    Args:
        population: who is replayed.
        judge: what becomes of what is served.
        ask: who answers; `RouterClient.ask` of a running router.
        experiments: directory of the manifests that the router routes by.
        state: directory to keep everything in.
        config: how long and how busy.
        run: name of what made the models; another one's replay does not go on here.

    Raises:
        FortnightError: the state is of other settings.
    """

    def __init__(
        self,
        population: Population,
        judge: Judge,
        ask: Asks,
        *,
        experiments: Path,
        state: Path,
        config: FortnightConfig,
        run: str = "",
    ):
        self._population, self._judge, self._config = population, judge, config
        self._experiments, self._state, self._ask = experiments, state, ask
        self._uses = Uses(population, self._checked)
        self._requests: list[tuple[str, Question, Reply]] = []
        self._known: set[tuple[int, str]] = set()
        self._record = Recorder(population.member_ids, predicted=not judge.unpredicted)
        _claim(state, config, run)

    def run(self) -> None:
        """Replay the days that are left.

        Raises:
            FortnightError: the router is away, refuses, or too many requests of a day fail.
            ExperimentsError: no experiment says which variants answer for a service.
        """
        done = self._recall()
        with progress("simulated fortnight", total=self._config.days, done=done) as bar:
            for day in range(done + 1, self._config.days + 1):
                self._day(day)
                bar.advance(1, requests=len(self._requests))

    def _day(self, day: int) -> None:
        config, self._requests = self._config, []
        rng = [np.random.default_rng([config.seed, day, part]) for part in range(5)]
        visits = draw_visits(self._population, config, rng[0])
        experiments = load_experiments(self._experiments)
        names = self._population.member_ids.to_pylist()
        assigned = experiments.assign(AUDIENCE, names)
        exposed = self._record.exposures(AUDIENCE, experiments, assigned, _name(day))
        known = set(self._known)
        home = self._uses.home_pages(visits, known)
        selected = self._uses.recommendations(visits)
        seen = self._respond(selected, rng[4])
        searched = self._uses.results_pages(visits, home.query, rng[1])
        found = self._respond(searched, rng[1])
        told = self._uses.notifications(
            assigned, fresh=self._fresh(rng[2]), named=config.named, rng=rng[2]
        )
        heard = self._respond(told, rng[3])
        self._check_failures(day)
        write_exposures(exposed, self._state / "exposures" / f"{_name(day)}.parquet")
        of_day = [exposure_id(_name(day), names[row]) for row in told.member]
        for service, outcomes in (
            (SUGGESTIONS, self._record.of_home_pages(home)),
            (CANDIDATES, self._record.of_pages(selected, seen)),
            (RANKER, self._record.of_pages(searched, found)),
            (AUDIENCE, self._record.of_pages(told, heard, of_day)),
        ):
            write_outcomes(outcomes, self._state / "outcomes" / service / f"{_name(day)}.parquet")
        applications = application_table(
            [(CANDIDATES, selected, seen), (RANKER, searched, found), (AUDIENCE, told, heard)]
        )
        new = sorted(known - self._known)
        taken = {"member": [member for member, _ in new], "text": [text for _, text in new]}
        with whole_directory(self._state / "days" / _name(day)) as directory:
            pq.write_table(request_table(self._requests), directory / "requests.parquet")
            pq.write_table(applications, directory / "applications.parquet")
            pq.write_table(pa.table(taken, schema=TAKEN_SCHEMA), directory / "taken.parquet")
        self._known = known
        logger.info(
            "day=%d visits=%d taken=%d recommended=%d searches=%d notified=%d applications=%d",
            day,
            len(visits.member),
            len(new),
            len(selected.member),
            len(searched.member),
            len(told.member),
            len(applications),
        )

    def _fresh(self, rng: np.random.Generator) -> list[int]:
        postings = len(self._population.catalogue.postings)
        count = min(self._config.postings, postings)
        return rng.choice(postings, count, replace=False).tolist()

    def _checked(self, service: str, questions: Sequence[Question]) -> list[Reply]:
        replies = self._ask(service, questions)
        self._requests += [(service, q, r) for q, r in zip(questions, replies, strict=True)]
        return replies

    def _check_failures(self, day: int) -> None:
        failed = [reply for _, _, reply in self._requests if reply.prediction is None]
        allowed = max(FEWEST_FAILURES, self._config.most_failures * len(self._requests))
        if len(failed) > allowed:
            statuses = sorted({reply.status or "timeout" for reply in failed}, key=str)
            raise FortnightError(
                f"day {day}: {len(failed)} of {len(self._requests)} requests failed "
                f"(status {', '.join(map(str, statuses))}): see the router's and servers' logs"
            )

    def _respond(self, pages: Pages, rng: np.random.Generator) -> Responses:
        return self._judge.respond(
            pages.member, pages.postings, luck=pages.luck, appetite=pages.appetite, rng=rng
        )

    def _recall(self) -> int:
        """Read what earlier days left, and tell how many there are."""
        done = days_done(self._state)
        for day in range(1, done + 1):
            directory = self._state / "days" / _name(day)
            taken = _read(directory / "taken.parquet")
            self._known.update(
                zip(taken["member"].to_pylist(), taken["text"].to_pylist(), strict=True)
            )
            applied = _read(directory / "applications.parquet")
            self._judge.remember(applied["member"].to_numpy(), applied["posting"].to_numpy())
        return done


def days_done(state: Path) -> int:
    """Count the days that were replayed to their end."""
    done = 0
    while (state / "days" / _name(done + 1)).is_dir():
        done += 1
    return done


def _claim(state: Path, config: FortnightConfig, run: str) -> None:
    """Make the state directory this replay's; days and concurrency may differ when it goes on."""
    path = state / SETTINGS
    settings = config.model_dump(exclude={"days", "concurrency", "timeout", "most_failures"})
    settings |= {"visits": config.visits / config.days, "run": run}
    if path.is_file():
        before: dict[str, Any] = json.loads(path.read_text())
        changed = [name for name in settings if before.get(name) != settings[name]]
        if changed:
            raise FortnightError(
                f"{state}: was replayed with {changed[0]} {before.get(changed[0])}, not "
                f"{settings[changed[0]]}: choose another directory or remove this one"
            )
        return
    with whole_file(path) as aside:
        aside.write_text(json.dumps(settings, indent=1) + "\n")


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise FortnightError(f"{path}: missing or damaged: {error}") from error


def _name(day: int) -> str:
    return f"day-{day:02d}"
