"""The file that is handed in: what it looks like, and that it is read back as it was meant."""

import zipfile

import numpy as np
import pytest

from components.news.errors import NewsError
from components.news.predictions import TEXT, ZIPPED, read_predictions, write_predictions

IDS, RANKS, OFFSETS = np.array([7, 8, 12]), np.array([2, 1, 1, 3, 1, 2]), np.array([0, 2, 3, 6])


def test_a_line_is_an_impression_and_the_ranks_of_its_candidates_in_their_order(tmp_path):
    write_predictions(tmp_path, IDS, RANKS, OFFSETS)
    assert (tmp_path / TEXT).read_text() == "7 [2,1]\n8 [1]\n12 [3,1,2]\n"
    with zipfile.ZipFile(tmp_path / ZIPPED) as archive:
        assert archive.namelist() == [TEXT]
        assert archive.read(TEXT) == (tmp_path / TEXT).read_bytes()


def test_what_was_written_is_read_back(tmp_path):
    write_predictions(tmp_path, IDS, RANKS, OFFSETS)
    for written, read in zip((IDS, RANKS, OFFSETS), read_predictions(tmp_path / TEXT), strict=True):
        np.testing.assert_array_equal(written, read)


def test_the_same_ranks_make_the_same_files(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_predictions(tmp_path / name, IDS, RANKS, OFFSETS)
    first, second = (tmp_path / name / ZIPPED for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("line", ["7", "7 [1,3]", "7 [1,1]", "x [1]", "7 [1] 2", "7 3", "7 [1,"])
def test_a_line_that_is_no_ranking_is_named(tmp_path, line):
    (tmp_path / TEXT).write_text(f"6 [1]\n{line}\n")
    with pytest.raises(NewsError, match="line 2"):
        read_predictions(tmp_path / TEXT)
