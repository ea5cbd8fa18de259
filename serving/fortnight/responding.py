"""What becomes of the postings that were served, and what is remembered of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.dataset as ds
from numpy.typing import NDArray

from components.features.tables import FeatureTables
from components.hires.errors import HiresError
from components.hires.model import HireModel
from components.marketplace.codes import APPLY, RESPONSES, VIEW
from components.marketplace.population import Population
from components.marketplace.response import PLACES, act, answer, relevance
from serving.fortnight.errors import FortnightError


class Responses(NamedTuple):
    """One row per posting shown, in order of page and place.

    Attributes:
        page: int64[n], row of what was asked for.
        posting: int64[n].
        outcome: int8[n], as `components.marketplace.response.act`.
        hired: bool[n], applications that end in a confirmed hire.
        probability: float64[n], predicted, of applications; 0 for the rest.
    """

    page: NDArray[np.int64]
    posting: NDArray[np.int64]
    outcome: NDArray[np.int8]
    hired: NDArray[np.bool_]
    probability: NDArray[np.float64]


class Judge:
    """Lets members act on pages, recruiters answer, and predicts hires.

    Nobody applies twice to a posting, neither in the replay nor to what the feed already holds.

    Args:
        population: who acts.
        feed: directory of the feed whose applications count.
        features: tables as of now.
        hires: directory written by `train_hires`.

    Attributes:
        unpredicted: why no hires are predicted, else "".
    """

    def __init__(self, population: Population, *, feed: Path, features: Path, hires: Path):
        self._population = population
        self._applied: set[int] = set(_applications(population, feed).tolist())
        self._hires, self.unpredicted = _hire_model(hires)
        if self._hires is not None:
            self._tables = FeatureTables.open(features)
            self._member_rows = self._tables.member_rows(population.member_ids)
            self._posting_rows = self._tables.posting_rows(population.texts.items)

    def respond(
        self,
        member: NDArray[np.int64],
        pages: Sequence[Sequence[int]],
        *,
        luck: NDArray[np.float32],
        appetite: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> Responses:
        """Show each member a page.

        Args:
            member: int64[p], who looks at each page.
            pages: postings of each page from the top; only the first PLACES are looked at.
            luck: float32[LUCK, p, places], of as many places as the longest page has, or PLACES.
            appetite: float64[p].
            rng: luck of recruiters.
        """
        population = self._population
        shown = [list(page)[:PLACES] for page in pages]
        size = np.array([len(page) for page in shown], np.int64)
        page = np.repeat(np.arange(len(shown)), size)
        position = np.arange(len(page)) - np.repeat(np.cumsum(size) - size, size)
        posting = np.array([own for each in shown for own in each], np.int64)
        who = member[page]
        goal = population.members.goals[who] - 1
        fit = relevance(
            population.catalogue, population.members, member=who, goal=goal, posting=posting
        )
        outcome = act(
            luck[:, page, position], position=position, relevance=fit, appetite=appetite[page]
        )
        self._apply_once(who, posting, outcome)
        applied = np.flatnonzero(outcome == APPLY)
        hired, probability = np.zeros(len(page), bool), np.zeros(len(page))
        said = answer(rng, fit[applied], population.members.ability[who[applied]])
        hired[applied] = said.answered & (said.kind == RESPONSES.index("confirmed_hire"))
        probability[applied] = self._predict(who[applied], posting[applied])
        return Responses(page, posting, outcome, hired, probability)

    def remember(self, member: NDArray[np.int64], posting: NDArray[np.int64]) -> None:
        """Count applications of days that were replayed before."""
        self._applied.update(_codes(member, posting).tolist())

    def _apply_once(
        self, member: NDArray[np.int64], posting: NDArray[np.int64], outcome: NDArray[np.int8]
    ) -> None:
        at = np.flatnonzero(outcome == APPLY)
        for row, code in zip(at, _codes(member[at], posting[at]).tolist(), strict=True):
            if code in self._applied:
                outcome[row] = VIEW
            self._applied.add(code)

    def _predict(self, member: NDArray[np.int64], posting: NDArray[np.int64]) -> NDArray:
        if self._hires is None or not len(member):
            return np.zeros(len(member))
        features = self._tables.pairs(
            self._member_rows[member],
            self._posting_rows[posting],
            ([], np.full(len(member), -1)),
            np.full(len(member), self._tables.as_of),
        )
        return self._hires.probability(features)


def _codes(member: NDArray[np.int64], posting: NDArray[np.int64]) -> NDArray[np.int64]:
    return member << 32 | posting


def _applications(population: Population, feed: Path) -> NDArray[np.int64]:
    try:
        actions = ds.dataset(feed / "actions")
        applied = actions.to_table(["member_id", "item_id"], filter=ds.field("action") == "APPLY")
    except (OSError, ValueError) as error:
        raise FortnightError(f"{feed / 'actions'}: cannot be read: {error}") from error
    numbers = {name: row for row, name in enumerate(population.member_ids.to_pylist())}
    items = {name: row for row, name in enumerate(population.texts.items.to_pylist())}
    member = np.array([numbers[name] for name in applied["member_id"].to_pylist()], np.int64)
    posting = np.array([items[name] for name in applied["item_id"].to_pylist()], np.int64)
    return _codes(member, posting)


def _hire_model(directory: Path) -> tuple[HireModel | None, str]:
    try:
        return HireModel.open(directory), ""
    except HiresError as error:
        return None, str(error)
