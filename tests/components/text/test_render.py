"""Texts: what makes two spellings one query."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.text.render import (
    MAXIMUM_CHARACTERS,
    action_text,
    company_word,
    entity_text,
    normalise,
)

ANY_TEXT = st.text()


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("Data  Engineer\t", "data engineer"),
        ("ｄａｔａ　ｅｎｇｉｎｅｅｒ", "data engineer"),
        ("Cafe\u0301 Manager", "caf\u00e9 manager"),
        ("İSTANBUL", "i̇stanbul"),
        ("ΟΔΟΣ", "οδος"),
        ("हिन्दी शिक्षक", "हिन्दी शिक्षक"),
        ("数据工程师", "数据工程师"),
        ("nurse\x00\nnight", "nurse night"),
        ("   ", ""),
    ],
    ids=[
        "case and space",
        "full width",
        "accent",
        "dotted i",
        "sigma",
        "marks",
        "han",
        "controls",
        "blank",
    ],
)
def test_spelling_variants_fold_into_one(written, folded):
    assert normalise(written) == folded


@given(ANY_TEXT)
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text)


@given(ANY_TEXT)
def test_a_text_is_words_joined_by_single_spaces_within_the_limit(text):
    folded = normalise(text)
    assert folded == " ".join(folded.split())
    assert len(folded) <= MAXIMUM_CHARACTERS


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40))
def test_no_member_can_type_an_action_or_a_special_token(text):
    for name in ("JOB_SEARCH", "[SEP]"):
        assert name not in normalise(f"{text}{name}{text}")


def test_a_pasted_page_is_cut_to_a_search_box_line():
    assert normalise("Nurse " * 20_000) == ("nurse " * 500)[:MAXIMUM_CHARACTERS].rstrip()


def test_a_lone_surrogate_is_dropped_because_no_file_can_hold_it():
    assert normalise("nurse\ud800") == "nurse"


@given(ANY_TEXT)
def test_a_company_is_one_word(company):
    assert len(company_word(company).split()) <= 1


def test_a_company_reads_as_in_the_paper():
    assert company_word(" Acme  Inc") == "c_acme_inc"
    assert company_word(" ") == ""


@pytest.mark.parametrize(
    ("parts", "label", "text"),
    [
        ({"query": "Data Engineer"}, "company_title", "data engineer"),
        ({"company": "Acme Inc", "title": "Welder"}, "company_title", "c_acme_inc welder"),
        ({"company": "Acme Inc", "title": "Welder"}, "title", "welder"),
        ({"company": None, "title": "Welder"}, "company_title", "welder"),
        ({"query": None, "company": " ", "title": None}, "company_title", ""),
    ],
)
def test_an_entity_is_named_by_what_is_known_of_it(parts, label, text):
    assert entity_text(**parts, posting_label=label) == text


def test_an_action_is_its_type_and_what_it_is_about():
    assert action_text("JOB_SEARCH", query="Data Engineer") == "JOB_SEARCH data engineer"
    assert action_text("VIEW", company="Acme Inc", title="Welder") == "VIEW c_acme_inc welder"
    assert action_text("JOB_SEARCH") == "JOB_SEARCH"
