"""What passes between a step and its job: whole or not at all, and nothing is left."""

import pytest

from components.cluster.errors import ClusterError
from components.cluster.handover import Handover


@pytest.fixture
def work(tmp_path):
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def tokens(tmp_path):
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "shard").write_text("1 2 3")
    return tmp_path / "tokens"


def test_an_input_is_copied_to_where_the_job_sees_it(work, tokens):
    given = Handover(work, "job").give("tokens", tokens)
    assert given.is_relative_to(work)
    assert (given / "shard").read_text() == "1 2 3"


def test_an_input_on_the_volume_is_not_copied(work, tokens):
    there = tokens.rename(work / "tokens")
    assert Handover(work, "job").give("tokens", there) == there


def test_an_input_that_could_not_be_copied_whole_is_copied_by_the_next_try(work, tokens):
    (tokens / "gone").symlink_to("nowhere")
    with pytest.raises(Exception, match="gone"):
        Handover(work, "job").give("tokens", tokens)
    assert not list(work.glob("jobs/job/inputs/*"))
    (tokens / "gone").unlink()
    assert (Handover(work, "job").give("tokens", tokens) / "shard").exists()


def test_an_output_is_taken_and_the_folder_cleared(work, tmp_path):
    shared = Handover(work, "job")
    shared.output("encoder").mkdir(parents=True)
    (shared.output("encoder") / "weights").write_text("w")
    shared.take("encoder", tmp_path / "mine")
    shared.clear()
    assert (tmp_path / "mine/weights").read_text() == "w"
    assert not list(work.glob("jobs/*"))


def test_an_output_that_was_not_written_is_named(work, tmp_path):
    with pytest.raises(ClusterError, match="outputs/encoder: the job ended without writing it"):
        Handover(work, "job").take("encoder", tmp_path / "mine")


def test_a_volume_that_is_not_mounted_is_named(tmp_path):
    with pytest.raises(ClusterError, match="work: the volume .* is not mounted"):
        Handover(tmp_path / "work", "job")
