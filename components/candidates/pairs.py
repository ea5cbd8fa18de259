"""Pairs of a member and a posting of which weights are learnt, and on which they are measured.

Of every posting that a recommendation page showed a member after his cut it is known whether he
then applied to it. As such pages show what a recommender believed in, each member also meets
postings drawn at random from the catalogue. What he had applied to before the cut is left out.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.candidates.postings import Lists, Postings
from components.candidates.trails import Applications, Shown


class Pairs(NamedTuple):
    """Pairs, none twice; arrays [n].

    Attributes:
        member: numbers of the members.
        posting: rows of the catalogue.
        shown: whether the member was shown it, rather than drawn at random.
        applied: whether he applied to it after his cut.
    """

    member: NDArray[np.int64]
    posting: NDArray[np.int64]
    shown: NDArray[np.bool_]
    applied: NDArray[np.bool_]


class Applied(NamedTuple):
    """Postings of the catalogue that each member applied to, ascending.

    Attributes:
        before: his cut.
        later: after it, and not before.
    """

    before: Lists
    later: Lists

    @classmethod
    def of(cls, applications: Applications, postings: Postings, members: int) -> "Applied":
        """Sort applications by member."""
        row = postings.ids.find(applications.item_ids)
        return cls(
            *(
                Lists.of(np.where(side & (row >= 0), applications.member, -1), row, members)
                for side in (~applications.later, applications.later)
            )
        )


def draw_pairs(
    shown: Shown, applied: Applied, postings: Postings, *, random: int, seed: int
) -> Pairs:
    """Make the pairs of the members that were shown something.

    Args:
        shown: to them.
        applied: by them.
        postings: the catalogue.
        random: postings drawn for each.
        seed: of the draw.
    """
    row = postings.ids.find(shown.item_ids)
    member, row = shown.member[row >= 0], row[row >= 0]
    strangers = np.repeat(np.unique(member), random)
    drawn = np.random.default_rng(seed).integers(0, max(len(postings), 1), len(strangers))
    of, posting = np.concatenate([member, strangers]), np.concatenate([row, drawn])
    is_shown = np.arange(len(of)) < len(member)
    # The first of equal pairs counts, and those shown come first.
    _, first = np.unique(of * len(postings) + posting, return_index=True)
    before, later = (_holds(lists, of[first], posting[first]) for lists in applied)
    kept = first[~before & (is_shown[first] | ~later)]
    kept.sort()
    return Pairs(
        of[kept], posting[kept], is_shown[kept], _holds(applied.later, of[kept], posting[kept])
    )


def _holds(
    lists: Lists, member: NDArray[np.int64], posting: NDArray[np.int64]
) -> NDArray[np.bool_]:
    count = int(max(lists.values.max(initial=0), posting.max(initial=0))) + 1
    owner = np.repeat(np.arange(len(lists.offsets) - 1), np.diff(lists.offsets))
    return np.isin(member * count + posting, owner * count + lists.values)
