"""The benchmark harness: what a row claims, and what a measured call costs."""

import pytest

from benchmarks.harness import Row, measure


@pytest.mark.parametrize(
    ("target", "met"),
    [
        ("ours >= 3", True),
        ("ours <= 2.9", False),
        ("ratio >= 1.5", True),
        ("ratio >= 1.51", False),
        ("lead >= 1", True),
        ("lead <= 0.5", False),
    ],
)
def test_a_target_is_held_against_ours_the_ratio_or_the_lead(target, met):
    assert Row("speed", "items/s", ours=3, peer=2, peer_name="other", target=target).met is met


def test_a_ratio_without_a_peer_is_refused():
    with pytest.raises(ValueError, match=r"speed: target 'ratio >= 2' needs a peer"):
        _ = Row("speed", "items/s", ours=3, target="ratio >= 2").met


def test_a_record_has_the_agreed_keys():
    record = Row("speed", "items/s", ours=3, target="ours >= 1").record("sort 1M")
    assert list(record) == [
        "name",
        "unit",
        "ours",
        "peer",
        "peer_name",
        "ratio",
        "target",
        "met",
        "machine",
    ]
    assert record["name"] == "sort 1M: speed"
    assert record["ratio"] is None


def use(seconds, megabytes):
    """Burn CPU and hold memory, as a benchmark would."""
    import time

    held = bytearray(b"x" * (megabytes << 20))
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return len(held)


def test_a_measured_call_counts_its_own_cpu_and_memory():
    measured = measure("tests.benchmarks.test_harness:use", seconds=0.3, megabytes=60)
    assert measured.value == 60 << 20
    assert measured.cpu_seconds >= 0.3
    assert 60 << 20 <= measured.peak_bytes <= 400 << 20


def test_memory_of_the_caller_does_not_count():
    held = bytearray(b"x" * (150 << 20))
    assert measure("tests.benchmarks.test_harness:use", seconds=0, megabytes=1).peak_bytes < len(
        held
    )


def test_a_call_that_fails_says_why():
    with pytest.raises(RuntimeError, match="unexpected keyword argument 'minutes'"):
        measure("tests.benchmarks.test_harness:use", minutes=1)
