"""Grades: best first, and none where nothing was suggested."""

import numpy as np

from components.evaluation.evaluate import GRADES
from components.evaluation.grading import truth_grader
from components.marketplace.truth import BAD, FAIR, GOOD, PERFECT, UNASKED

MEANING = {"nurse": PERFECT, "rn": GOOD, "medic": FAIR, "truck driver": BAD, "": UNASKED}


class KnownTruth:
    def grade(self, member_ids, texts):
        assert len(member_ids) == len(texts)
        return np.array([[MEANING[text] for text in row] for row in texts], np.int8)


def test_grades_are_numbered_from_the_best():
    grade = truth_grader(KnownTruth(), ["truck driver", "medic", "nurse", "rn"])
    grades = grade(["ann", "bob"], np.array([[2, 3, 1], [0, -1, -1]], np.int32))
    assert grades.tolist() == [[0, 1, 2], [3, -1, -1]]
    assert [GRADES[g] for g in grades[0]] == ["perfect", "good", "fair"]
