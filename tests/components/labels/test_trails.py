"""What of each trail can become a label."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.activity.config import JOBS, NEWS
from components.activity.posting_labels import POSTING_LABELS, carry_posting_labels
from components.activity.schema import ActivityError
from components.labels.trails import past_labels, read_trails
from tests.components.labels.test_examples import searches

LABELS = pa.table({"kind": ["query", "entity", "query"], "text": ["nurse", "c_acme nurse", "cook"]})


@pytest.fixture
def sessions(write_parts_in, tmp_path):
    ann = [*searches("ann", "nurse", "Nurse "), ("ann", 3, "APPLY", "Acme", "Nurse")]
    return write_parts_in(tmp_path / "sessions", ann, searches("bob", "cook", "pilot"))


def test_a_past_holds_each_label_of_the_whole_trail_once(sessions):
    past = past_labels(sessions, LABELS, pa.chunked_array([["bob", "nobody", "ann"]]), JOBS)
    assert past.toarray().tolist() == [[0, 0, 1], [0, 0, 0], [1, 1, 0]]


NEWS_LABELS = {
    "N1": ["sports_golf", "Tiger  Woods (Q1)"],
    "N2": ["sports_golf", "Augusta (Q2)", "Tiger Woods (Q1)"],
    "N3": [],
    "N4": None,
}


@pytest.fixture
def read_items(tmp_path, write_parts_in):
    """Sessions of members who read items one by one, labelled by the items' attributes."""

    def write(labels, **trails):
        rows = [
            (member, session, "VIEW", None, item)
            for member, items in trails.items()
            for session, item in enumerate(items, 1)
        ]
        sessions = write_parts_in(tmp_path / "sessions", rows)
        (part,) = sessions.glob("part-*.parquet")
        table = pq.read_table(part)
        item = table.schema.get_field_index("item_id")
        pq.write_table(table.set_column(item, table.schema.field(item), table["title"]), part)
        (tmp_path / "feed/postings").mkdir(parents=True)
        columns = {
            "item_id": list(labels),
            "labels": pa.array(labels.values(), pa.list_(pa.string())),
        }
        pq.write_table(pa.table(columns), tmp_path / "feed/postings/part-00000.parquet")
        carry_posting_labels(tmp_path / "feed", sessions)
        return sessions

    return write


def test_a_news_item_is_labelled_with_its_topic_and_each_of_its_entities(read_items):
    trails = read_trails(read_items(NEWS_LABELS, ann=["N1", "N3", "N2"], bob=["N4", "N9"]), NEWS)
    told = [(int(s), trails.texts[t][1]) for s, t in zip(trails.session, trails.text, strict=True)]
    assert told == [
        (0, "sports_golf"),
        (0, "tiger woods (q1)"),
        (2, "sports_golf"),
        (2, "augusta (q2)"),
        (2, "tiger woods (q1)"),
    ]
    assert {kind for kind, _ in trails.texts} == {"entity"}
    assert trails.offsets.tolist() == [0, 5, 5]
    assert trails.sessions.tolist() == [3, 2]


def test_the_past_of_a_reader_holds_the_labels_of_what_was_read(read_items):
    labels = pa.table({"kind": ["entity"] * 2, "text": ["augusta (q2)", "sports_golf"]})
    sessions = read_items(NEWS_LABELS, ann=["N1"], bob=["N2", "N1"])
    past = past_labels(sessions, labels, pa.chunked_array([["bob", "ann"]]), NEWS)
    assert past.toarray().tolist() == [[1, 1], [0, 1]]


def test_actions_whose_postings_have_no_labels_make_none(read_items):
    assert len(read_trails(read_items({}, ann=["N1"]), NEWS).text) == 0


def test_damaged_labels_of_postings_are_named(read_items):
    sessions = read_items(NEWS_LABELS, ann=["N1"])
    (sessions / POSTING_LABELS).write_bytes(b"torn")
    with pytest.raises(ActivityError, match=POSTING_LABELS):
        read_trails(sessions, NEWS)


def test_sessions_of_a_feed_without_labels_have_none_beside_them(tmp_path):
    carry_posting_labels(tmp_path / "feed", tmp_path)
    assert list(tmp_path.iterdir()) == []
