"""Run directories: creating, finding, finishing."""

import pytest

from pipelines.local import runs


def test_runs_that_start_in_the_same_second_get_directories_of_their_own(tmp_path):
    paths = {runs.create("toy", "toy", {}, root=tmp_path).path for _ in range(5)}
    assert len(paths) == 5


def test_a_run_is_found_again_as_it_was_left(tmp_path):
    run = runs.create("toy", "toy", {"seed": "2"}, root=tmp_path)
    assert runs.find(run.path.name, root=tmp_path) == run
    assert runs.find(str(run.path), root=tmp_path / "elsewhere") == run


def test_latest_is_the_run_that_finished_last(tmp_path):
    first, second = (runs.create("toy", "toy", {}, root=tmp_path) for _ in range(2))
    runs.finish(second)
    runs.finish(first)
    assert runs.find("latest", root=tmp_path).path == first.path


def test_the_newest_unfinished_run_of_a_recipe_is_continued(tmp_path):
    _, newer, newest, _ = (
        runs.create(name, name, {}, root=tmp_path) for name in ("toy", "toy", "toy", "other")
    )
    runs.finish(newest)
    assert runs.newest_unfinished("toy", root=tmp_path) == newer


def test_there_may_be_no_unfinished_run(tmp_path):
    with pytest.raises(runs.RunError, match="no unfinished run of recipe 'toy'"):
        runs.newest_unfinished("toy", root=tmp_path)


def test_a_run_that_is_not_there_is_told_with_those_that_are(tmp_path):
    run = runs.create("toy", "toy", {}, root=tmp_path)
    with pytest.raises(runs.RunError, match=f"no run 'tow'.*known: {run.path.name}"):
        runs.find("tow", root=tmp_path)


def test_a_damaged_description_is_named(tmp_path):
    run = runs.create("toy", "toy", {}, root=tmp_path)
    (run.path / "run.json").write_text("{")
    with pytest.raises(runs.RunError, match="run.json: not a run's description"):
        runs.find(run.path.name, root=tmp_path)
