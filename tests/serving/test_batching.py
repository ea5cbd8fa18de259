"""Requests that wait together are computed together, and nobody waits for company."""

import asyncio
import threading

import numpy as np
import pytest

from serving.batching import Batcher
from serving.errors import Overloaded


def batcher(compute, **changes):
    options = {"threads": 1, "most": 8, "waiting": 100} | changes
    return Batcher("test", compute, **options)


def rows(items):
    return np.array([[item, item + 1] for item in items], np.float32)


def test_everybody_gets_his_own_rows():
    async def ask(start):
        return await queue.rows(range(start, start + 3))

    async def all_of_them():
        return await asyncio.gather(*(ask(start) for start in range(0, 300, 3)), ask(1000))

    queue = batcher(rows, threads=2, waiting=1000)
    found = asyncio.run(all_of_them())
    assert [own[:, 0].tolist() for own in found[:-1]] == [
        [start, start + 1, start + 2] for start in range(0, 300, 3)
    ]
    assert found[-1].tolist() == [[1000, 1001], [1001, 1002], [1002, 1003]]


def test_what_comes_while_a_batch_is_computed_makes_the_next_one():
    go, sizes = threading.Event(), []

    def compute(items):
        sizes.append(len(items))
        go.wait(10)
        return rows(items)

    async def scenario():
        queue = batcher(compute)
        asked = [asyncio.ensure_future(queue.rows([number])) for number in range(12)]
        await asyncio.sleep(0)
        while not sizes:
            await asyncio.sleep(0.001)
        go.set()
        await asyncio.gather(*asked)

    asyncio.run(scenario())
    assert sizes == [1, 8, 3]


def test_too_many_are_refused_at_once_and_the_others_answered():
    go = threading.Event()

    def compute(items):
        go.wait(10)
        return rows(items)

    async def scenario():
        queue = batcher(compute, waiting=3)
        first = asyncio.ensure_future(queue.rows([0]))
        await asyncio.sleep(0)
        waiting = asyncio.ensure_future(queue.rows([1, 2, 3]))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="3 computations wait already"):
            await queue.rows([4])
        go.set()
        return await first, await waiting

    first, waiting = asyncio.run(scenario())
    assert first.tolist() == [[0, 1]]
    assert len(waiting) == 3


def test_a_failure_reaches_who_asked_and_the_next_is_answered():
    def compute(items):
        if -1 in items:
            raise ValueError("no")
        return rows(items)

    async def scenario():
        queue = batcher(compute)
        with pytest.raises(ValueError, match="no"):
            await queue.rows([-1])
        return await queue.rows([5])

    assert asyncio.run(scenario()).tolist() == [[5, 6]]


def test_who_goes_away_is_not_computed_for():
    go, seen = threading.Event(), []

    def compute(items):
        seen.extend(items)
        go.wait(10)
        return rows(items)

    async def scenario():
        queue = batcher(compute)
        first = asyncio.ensure_future(queue.rows([0]))
        await asyncio.sleep(0)
        gone = asyncio.ensure_future(queue.rows([1]))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        go.set()
        await first
        await queue.rows([2])

    asyncio.run(scenario())
    assert seen == [0, 2]
