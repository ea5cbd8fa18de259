"""What titles and skills have an id, and how texts are read as them."""

import pytest

from components.candidates.attributes import Attributes
from components.candidates.errors import CandidatesError
from tests.components.candidates.conftest import catalogue, learn


def said(attributes, numbers):
    return [attributes.text(number) for number in numbers]


def test_a_title_is_its_words_without_level_and_order(attributes):
    one, other = (
        attributes.of_title(title)
        for title in ("Project Manager, Security", "Senior Security Project Manager")
    )
    assert one == other
    assert said(attributes, one) == ["security project manager", "project manager", "manager"]


def test_only_a_head_noun_is_a_title_by_itself(attributes):
    assert said(attributes, attributes.of_title("Data Analyst")) == ["data analyst", "analyst"]
    assert "data" not in attributes.titles


@pytest.mark.parametrize(
    ("text", "titles", "skills"),
    [
        ("tmt analyst", ["analyst"], ["tmt"]),
        ("senior data analyst new york", ["data analyst"], []),
        ("proj mgr", ["project manager"], []),
        ("project management", ["project manager"], []),
        ("sql", [], ["sql"]),
        ("manager", ["manager"], []),
        ("zzz", [], []),
        ("", [], []),
    ],
)
def test_entities_are_rewritten_by_their_words(attributes, text, titles, skills):
    found = attributes.rewrite(text)
    assert said(attributes, found.titles) == titles
    assert said(attributes, found.skills) == skills


def test_what_few_postings_have_has_no_id():
    attributes = learn(catalogue(), minimum=2)
    assert "driver" not in attributes.titles
    assert "forklift" not in attributes.skills
    assert attributes.of_title("Driver") == ()


def test_ids_are_counted_by_kind(attributes):
    skill = attributes.rewrite("tmt").skills[0]
    assert attributes.name(0) == "titleId:0"
    assert attributes.name(skill) == f"skillId:{skill - len(attributes.titles)}"


def test_a_catalogue_without_skills_has_titles_alone():
    attributes = learn(catalogue([("Data Analyst", None), ("Nurse", []), (None, None)]))
    assert attributes.skills == []
    assert attributes.titles == ["analyst", "data analyst", "nurse"]


def test_a_saved_vocabulary_reads_the_same(attributes, tmp_path):
    attributes.save(tmp_path)
    again = Attributes.open(tmp_path)
    assert again.titles == attributes.titles
    assert again.counts == attributes.counts
    assert again.rewrite("tmt analyst new york") == attributes.rewrite("tmt analyst new york")


def test_a_missing_vocabulary_is_named(tmp_path):
    with pytest.raises(CandidatesError, match=r"attributes\.arrow"):
        Attributes.open(tmp_path)
