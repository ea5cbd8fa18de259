"""The news section: our figures above the published ones, with and without a second loss."""

import numpy as np
import pytest

from components.evaluation.news_section import news_section
from components.news.config import COMBINATIONS
from components.news.measure import MEASURES, PUBLISHED, figure_table


@pytest.fixture
def tables():
    random = np.random.default_rng(0)
    offsets = np.arange(0, 5 * 21, 5)
    clicked = np.tile(np.arange(5) < 2, 20)
    names = ("random", "most clicked", *COMBINATIONS)
    ranks = {name: np.concatenate([random.permutation(5) + 1 for _ in range(20)]) for name in names}
    trained = {"lists": 40, "steps": 60, "best_step": 30, "steps_per_second": 5.5}
    facts = {name: {**trained, "peak_memory": 1.25} for name in COMBINATIONS}
    return figure_table(ranks, clicked, offsets, facts, resamples=20, seed=0)


def test_each_combination_stands_above_its_published_figures(tables):
    figures = news_section(tables).tables[0]
    assert figures.head == ["", "AUC", "MRR", "nDCG@5", "nDCG@10"]
    names = [row[0] for row in figures.rows]
    braced = [f"{{{name}}}" for name in COMBINATIONS]
    assert names[:2] == ["random", "most clicked"]
    assert names[2::2] == braced
    assert set(names[3::2]) == {"published"}
    assert figures.rows[-1][1:] == [".689", ".333", ".369", ".431"]
    assert len(PUBLISHED[COMBINATIONS[0]]) == len(MEASURES)


def test_differences_are_shown_with_the_published_ones(tables):
    rows = news_section(tables).tables[1].rows
    last = rows[-1]
    assert last[:2] == ["{u,v,|u-v|}", "{u,v,u*v}"]
    assert last[-1] == ".008"
    assert len(rows) == 2 + 3 + 4


def test_losses_are_shown_where_the_next_sentence_was_learnt(tables):
    captions = [table.caption for table in news_section(tables).tables]
    assert "Losses at the end of pre-training" not in captions
    losses = {"mlm_loss": 2.5, "published_mlm_loss": 1.069}
    losses |= {"nsp_loss": 0.6, "published_nsp_loss": 0.507, "steps": 100}
    shown = news_section({**tables, "mind_pretraining": [losses]}).tables[-1]
    assert shown.rows == [["masked words", "2.500", "1.069"], ["next sentence", "0.600", "0.507"]]


def test_the_combinations_are_drawn(tables):
    (figure,) = news_section(tables).figures
    assert figure.draw().startswith("<svg")
