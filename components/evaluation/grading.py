"""Grades from what the generated marketplace knows: the editors of the paper's Table 5."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from components.evaluation.evaluate import GRADES, Grader
from components.marketplace.truth import PERFECT, Truth


def truth_grader(truth: Truth, label_texts: Sequence[str]) -> Grader:
    """Grade suggestions by the member's latent goal.

    Args:
        truth: of the marketplace that the members come from.
        label_texts: text of each label, [L].
    """
    # One text more, for the -1 of a missing suggestion.
    texts = np.array([*label_texts, ""], object)

    def grade(member_ids: Sequence[str], labels: NDArray[np.int32]) -> NDArray[np.int8]:
        grades = truth.grade(member_ids, texts[labels].tolist())
        return np.where(grades >= 0, PERFECT - grades, -1).astype(np.int8)

    assert len(GRADES) == PERFECT + 1
    return grade
