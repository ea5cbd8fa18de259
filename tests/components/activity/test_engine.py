"""The engine keeps the order of rows where that matters, and readers may run ahead."""

import threading

import pyarrow as pa
import pytest

from components.activity.engine import ahead, ask, open_engine


def test_rows_leave_in_the_order_in_which_they_came():
    rows = pa.table({"row": pa.array(range(2_000_000), pa.int64())})
    block = pa.Table.from_batches(rows.to_batches(max_chunksize=10_000))
    answer = ask(open_engine(keep_order=True), block, "SELECT row FROM block WHERE row % 7 <> 0")
    assert answer["row"].to_pylist() == [row for row in range(2_000_000) if row % 7]


def test_the_next_item_is_made_while_one_is_used():
    made = threading.Event()

    def items():
        yield "first"
        made.set()
        yield "second"

    one_by_one = ahead(items())
    assert next(one_by_one) == "first"
    assert made.wait(timeout=60)
    assert list(one_by_one) == ["second"]


@pytest.mark.parametrize("items", [[], [1], [None, None], list(range(100))])
def test_all_items_arrive_in_order(items):
    assert list(ahead(items)) == items


def test_what_goes_wrong_ahead_is_raised_where_it_is_read():
    def items():
        yield 1
        raise OSError("No space left on device")

    read = ahead(items())
    assert next(read) == 1
    with pytest.raises(OSError, match="No space left"):
        next(read)
