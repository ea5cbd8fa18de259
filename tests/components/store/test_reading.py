"""What was pushed is what is read, by every way of reading."""

import numpy as np
import pyarrow as pa
import pytest

from components.store.errors import StoreError
from components.store.push import push
from components.store.store import open_store

from .conftest import DAY, DIMENSION, make_records, write_source


def test_a_record_reads_back_in_half_precision(pushed, reader):
    pushed("monday", mark=0.1)
    there = make_records([f"m{row}" for row in range(20)], mark=0.1)
    record = reader().get("m7")
    assert record.vector.tolist() == there.vectors[7].astype(np.float16).tolist()
    assert record.labels.tolist() == there.labels[7].tolist()
    assert record.scores.tolist() == there.scores[7].tolist()
    assert (record.data_time, record.version) == (DAY, 1)


def test_every_way_of_reading_agrees(pushed, reader):
    pushed("monday", 50)
    store = reader()
    names = [f"m{row}" for row in range(50)]
    many = store.get_many(names)
    vectors, found = store.vectors(names)
    scanned = {name: row for part in store.scan(batch=8) for name, row in rows_of(part).items()}
    assert found.all()
    assert many.found.all()
    assert many.version == 1
    assert sorted(scanned) == sorted(names)
    for row, name in enumerate(names):
        one = store.get(name)
        assert one.vector.tolist() == many.vectors[row].tolist() == vectors[row].tolist()
        assert one.labels.tolist() == many.labels[row].tolist() == scanned[name].tolist()
        assert one.scores.tolist() == many.scores[row].tolist()
        assert one.data_time == many.data_times[row]


def rows_of(part):
    return dict(zip(part.member_ids, part.labels, strict=True))


def test_a_batch_keeps_its_order_and_marks_what_is_missing(pushed, reader):
    pushed("monday")
    wanted = ["m3", "nobody", "m1", "", "m3", "x" * 9999, "m\udcff"]
    store = reader()
    many = store.get_many(wanted)
    vectors, found = store.vectors(wanted)
    expected = [True, False, True, False, True, False, False]
    assert found.tolist() == many.found.tolist() == expected
    assert many.member_ids == wanted
    assert not vectors[~found].any()
    assert (many.labels[~found] == -1).all()
    assert vectors[0].tolist() == vectors[4].tolist() == store.get("m3").vector.tolist()
    assert [store.get(name) is not None for name in wanted] == expected


def test_an_empty_batch_is_no_error(pushed, reader):
    pushed("monday")
    vectors, found = reader().vectors([])
    assert vectors.shape == (0, DIMENSION)
    assert found.shape == (0,)


def test_shards_of_a_scan_cover_every_member_once(pushed, reader):
    pushed("monday", 100)
    parts = [
        [name for batch in reader().scan(batch=9, shard=(part, 3)) for name in batch.member_ids]
        for part in range(3)
    ]
    assert sorted(sum(parts, [])) == sorted(f"m{row}" for row in range(100))
    assert all(10 < len(part) < 60 for part in parts)
    with pytest.raises(StoreError, match="shard 3 of 3"):
        next(reader().scan(shard=(3, 3)))


def test_both_surfaces_have_a_list_each(pushed, reader):
    pushed("monday", surfaces=2)
    there = make_records([f"m{row}" for row in range(20)], surfaces=2)
    store = reader()
    assert store.current().schema.surfaces == ("any", "explore")
    assert store.get_many(["m9"]).labels[0].tolist() == there.labels[9].tolist()


def test_labels_come_with_the_version(url, source, reader):
    labels = pa.table({"label": [0, 1], "kind": ["query", "title"], "text": ["nurse", "cook"]})
    push(url, "jobs", source("monday", ["m1"]), data_time=DAY, labels=labels)
    assert reader().labels().to_pydict() == {
        "id": [0, 1],
        "kind": ["query", "title"],
        "text": ["nurse", "cook"],
    }
    push(url, "jobs", source("tuesday", ["m1"]), data_time=DAY)
    assert reader().labels() is None


def test_a_member_without_entities_has_a_vector_and_empty_lists(url, tmp_path, reader):
    records = make_records(["a", "b"])
    run = write_source(tmp_path / "run", records)
    other = write_source(tmp_path / "other", make_records(["b"], seed=3))
    push(url, "jobs", run._replace(entities=other.entities), data_time=DAY)
    assert (reader().get("a").labels == -1).all()
    assert reader().get("b").labels.tolist() == make_records(["b"]).labels[0].tolist()


def test_nothing_is_read_before_the_first_push(url, writer):
    assert writer.current() is None
    assert writer.get("m1") is None
    assert writer.labels() is None
    assert list(writer.scan()) == []
    with pytest.raises(StoreError, match="nothing was pushed yet"):
        writer.vectors(["m1"])


def test_a_directory_that_is_no_store_is_an_error(tmp_path):
    with pytest.raises(StoreError, match="no store here"):
        open_store(f"lmdb:{tmp_path}", dataset="jobs")


def test_a_dataset_has_a_plain_name(tmp_path):
    with pytest.raises(StoreError, match="dataset"):
        open_store(tmp_path, dataset="../jobs")


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis+cluster://127.0.0.1:1"])
def test_a_server_that_is_not_there_is_an_error_without_the_password(url):
    url = url.replace("//", "//me:secret@")
    with pytest.raises(StoreError, match=r"redis.*://127.0.0.1:1.*: cannot be reached") as caught:
        open_store(url, dataset="jobs")
    assert "secret" not in str(caught.value)


def test_another_kind_of_address_is_an_error():
    with pytest.raises(StoreError, match="takes lmdb: or redis"):
        open_store("mysql://host", dataset="jobs")


def test_datasets_do_not_see_each_other(url, source):
    push(url, "jobs", source("jobs", ["a"]), data_time=DAY)
    push(url, "goods", source("goods", ["b"]), data_time=DAY)
    with open_store(url, dataset="goods") as store:
        assert store.get("a") is None
        assert store.get("b") is not None
