"""Work that runs ahead of its reader."""

import threading

import pytest

from components.activity.engine import ahead


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
