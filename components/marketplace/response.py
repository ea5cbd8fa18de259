"""How members respond to a posting that is put before them, and recruiters to an application.

The generator and whoever replays members against live answers share these rules, so that what a
model learnt from the one is true of the other.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.marketplace.catalogue import Catalogue
from components.marketplace.codes import APPLY, DAY, DISMISS, IGNORED, SAVE, VIEW
from components.marketplace.members import Members
from components.marketplace.postings import REMOTE_CITY

Ints = NDArray[np.integer]
Floats = NDArray[np.floating]

# Places that a page may have; a place is looked at with probability (1 + position) ** -ATTENTION.
PLACES, ATTENTION = 10, 0.6
# Share of visits in which the member is ready to apply; in others it takes a perfect match.
DECIDING_SHARE, RELUCTANCE = 0.5, 4.5
# Random numbers that the response to one posting takes.
LUCK = 4


def relevance(
    catalogue: Catalogue, members: Members, *, member: Ints, goal: Ints, posting: Ints
) -> NDArray[np.float32]:
    """Return how well postings fit a goal, about -0.8 to 2.5.

    Args:
        catalogue: that holds the postings.
        members: who look at them.
        member: int[n], row in `members`.
        goal: int[n], which of the member's goals is in mind.
        posting: int[n], index into the postings.
    """
    postings = catalogue.postings
    wanted = members.occupation[member, goal]
    offered = postings.occupation[posting]
    same = wanted == offered
    close = catalogue.occupations.closeness[wanted, offered]
    fit = np.where(same, np.float32(1.0), np.float32(0.5) * close)
    special = postings.speciality[posting] == members.speciality[member, goal]
    fit += np.float32(0.6) * (same & special)
    apart = np.abs(postings.level[posting] - members.level[member, goal])
    fit += np.array([0.45, 0.05, -0.35, -0.6], np.float32)[apart]
    fit += np.float32(0.45) * (postings.industry[posting] == members.industry[member, goal])
    city = postings.city[posting]
    elsewhere = (city != members.city[member]) & (city != REMOTE_CITY)
    fit -= np.float32(0.25) * (members.choosy[member] & elsewhere)
    return fit


def opens(luck: Floats, *, position: Ints, relevance: Floats) -> NDArray[np.bool_]:
    """Whether what is shown at a position is looked at and opened.

    Args:
        luck: float[n], uniform in 0 to 1.
        position: int[n], from 0, less than PLACES.
        relevance: float[n].
    """
    looked = (1 + np.arange(PLACES, dtype=np.float32)) ** -ATTENTION
    return luck < looked[position] * logistic(2.6 * relevance - 4.1)


def act(luck: Floats, *, position: Ints, relevance: Floats, appetite: Floats) -> NDArray[np.int8]:
    """Look at a place, open the posting, then act on it.

    Args:
        luck: float[LUCK, n], uniform in 0 to 1.
        position: int[n], place on the page, from 0, less than PLACES.
        relevance: float[n], of the posting.
        appetite: float[n], added to the log odds of applying; -RELUCTANCE of it where the member
            only looks around.

    Returns:
        int8[n], the strongest action (APPLY, SAVE, DISMISS, VIEW), or IGNORED.
    """
    opened = opens(luck[0], position=position, relevance=relevance)
    applies = luck[1] < logistic(3.2 * relevance - 6.5 + appetite)
    saves = luck[2] < 0.7 * logistic(3.0 * relevance - 6.0)
    dismisses = luck[3] < 0.6 * logistic(1.6 - 3.0 * relevance)
    outcome = np.full(len(position), IGNORED, np.int8)
    for happens, action in ((opened, VIEW), (dismisses, DISMISS), (saves, SAVE), (applies, APPLY)):
        outcome[opened & happens] = action
    return outcome


class Answers(NamedTuple):
    """What recruiters say to applications, n of them.

    Attributes:
        answered: bool[n]; many applications never are.
        kind: int64[n], index into codes.RESPONSES.
        delay: int64[n], microseconds from the application to the answer.
    """

    answered: NDArray[np.bool_]
    kind: NDArray[np.int64]
    delay: NDArray[np.int64]


def answer(rng: np.random.Generator, relevance: Floats, ability: Floats) -> Answers:
    """Let recruiters answer applications, days later; a better fit has a better answer."""
    fit = 1.6 * (relevance - 1.4) + 0.7 * ability
    score = fit + rng.logistic(0, 0.7, len(fit))
    kind = (score > 1.0).astype(np.int64) + (score > 2.4)
    delay = rng.gamma(1.5, 4 * DAY * (1 + kind)).astype(np.int64)
    return Answers(score > -0.6, kind, delay)


def logistic(x: Floats) -> Floats:
    """Return probabilities of log odds."""
    return 1 / (1 + np.exp(-x))
