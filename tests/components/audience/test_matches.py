"""Exact matches: the members whom a posting's own words name, the most relevant first."""

import pytest

from tests.components.audience.conftest import exact_matches


@pytest.mark.parametrize(
    ("evidence", "attribute"),
    [
        ({"applied": [(2, "Ward  Nurse")]}, "applied"),
        ({"predicted": [(2, 0, 0.9)]}, "searched"),
        ({"predicted": [(2, 2, 0.9)]}, "posting"),
        ({"headlines": [(2, "ward nurse")]}, "headline"),
    ],
)
def test_each_kind_of_evidence_makes_a_match(evidence, attribute):
    found = exact_matches(4, **evidence).of("Acme", "Ward Nurse")
    assert found.rows.tolist() == [2]
    assert getattr(found, attribute)[0] > 0
    others = {"applied", "searched", "posting", "headline"} - {attribute}
    assert not any(getattr(found, other)[0] for other in others)


@pytest.mark.parametrize(
    "evidence",
    [
        {"applied": [(2, "nurse")]},
        {"predicted": [(2, 1, 0.9)]},
        {"predicted": [(2, 3, 0.9)]},
        {"headlines": [(2, None)]},
    ],
    ids=["a wider title", "a wider search", "another posting", "no headline"],
)
def test_other_words_make_none(evidence):
    assert not len(exact_matches(4, **evidence).of("Acme", "Ward Nurse").rows)


def test_a_predicted_posting_names_its_company_too():
    found = exact_matches(4, predicted=[(2, 2, 0.9)]).of("Another Company", "Ward Nurse")
    assert not len(found.rows)


def test_deeds_come_before_predictions_and_these_before_headlines():
    found = exact_matches(
        8,
        applied=[(5, "ward nurse"), (6, "ward nurse", 3)],
        predicted=[(1, 0, 0.4), (2, 2, 0.8), (5, 0, 0.1)],
        headlines=[(0, "ward nurse"), (3, "ward nurse")],
    ).of("Acme", "Ward Nurse")
    assert found.rows.tolist() == [6, 5, 2, 1, 0, 3]
    assert found.applied.tolist() == [3, 1, 0, 0, 0, 0]


def test_several_applications_of_one_member_add_up():
    found = exact_matches(4, applied=[(2, "ward nurse", 2), (2, "Ward nurse", 3)]).of(
        "Acme", "Ward Nurse"
    )
    assert found.applied.tolist() == [5]


def test_members_outside_the_index_match_nothing():
    found = exact_matches(
        4,
        applied=[(-1, "ward nurse")],
        headlines=[(-1, "ward nurse")],
        predicted=[(-1, 0, 1.0), (1, -1, 1.0)],
    ).of("Acme", "Ward Nurse")
    assert not len(found.rows)
