"""Which variant a unit gets: a pure function of the manifest, the same as nginx's split_clients.

A unit's bucket is one of 10,000, the hash of "<salt>:<unit>" in nginx's own arithmetic. A
treatment's buckets depend on its own percentage alone, so that raising one never moves a unit
between treatments: one treatment grows from bucket 0; of two, the second grows from the other end;
three or more, or treatments with declared limits, grow within lanes of their own. Control has the
rest.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.experiments.manifest import Experiment

BUCKETS = 10_000
UNIT = re.compile(r"[\x20-\x7e]{1,128}")

_M = np.uint32(0x5BD1E995)


class Segment(NamedTuple):
    """A run of buckets with one answer.

    Attributes:
        percent: its width, a multiple of 0.01 above 0; f"{percent:.2f}" is exact.
        variant: name of the variant that answers.
    """

    percent: float
    variant: str


def segments(experiment: Experiment) -> list[Segment]:
    """Cut an experiment's buckets into runs, in order from bucket 0; the widths add up to 100.

    As nginx does with its `*`, the last run takes the few hashes beyond the last bucket too. A
    stopped experiment is one run of control; overrides are not in here.
    """
    if experiment.stopped:
        return [Segment(100.0, experiment.control)]
    runs: list[tuple[int, str]] = []
    at = 0
    for variant, (first, past) in sorted(ranges(experiment).items(), key=lambda item: item[1]):
        runs += [(first - at, experiment.control), (past - first, variant)]
        at = past
    runs.append((BUCKETS - at, experiment.control))
    merged: list[tuple[int, str]] = []
    for width, variant in runs:
        if width and merged and merged[-1][1] == variant:
            merged[-1] = (merged[-1][0] + width, variant)
        elif width:
            merged.append((width, variant))
    return [Segment(width / 100, variant) for width, variant in merged]


def ranges(experiment: Experiment) -> dict[str, tuple[int, int]]:
    """Give each treatment above 0 % its buckets [first, past)."""
    treatments = experiment.treatments
    lanes = len(treatments) > 2 or any(v.limit is not None for v in treatments)
    found, start = {}, 0
    for place, variant in enumerate(treatments):
        width = hundredths(variant.percent or 0)
        first = BUCKETS - width if place == 1 and not lanes else start
        if lanes:
            declared = variant.limit
            start += BUCKETS // len(treatments) if declared is None else hundredths(declared)
        if width:
            found[variant.name] = (first, first + width)
    return found


def layer_segments(experiments: Sequence[Experiment]) -> list[Segment]:
    """Cut a layer into runs, each with the name of its experiment, or "" where there is none.

    Args:
        experiments: those of one layer; widths add up to 100.
    """
    layers = [(e.layer, e.name) for e in experiments if e.layer is not None]
    edges = sorted(
        (hundredths(layer.start), hundredths(layer.start) + hundredths(layer.size), name)
        for layer, name in layers
    )
    points = [(0, 0, ""), *edges, (BUCKETS, BUCKETS, "")]
    found = []
    for (_, past, _), (first, end, name) in pairwise(points):
        found += [Segment((first - past) / 100, ""), Segment((end - first) / 100, name)]
    return [segment for segment in found if segment.percent]


def allocate(experiment: Experiment, units: Sequence[str]) -> list[str | None]:
    """Name the variant of each unit.

    Args:
        experiment: with its layer, if it has one: units outside of its range get None.
        units: values of the unit header. What is no unit (empty, above 128 characters, not
            printable ASCII) gets control.

    Returns:
        A variant's name, or None, per unit. An override counts inside and outside of the range.
    """
    variants: list[str | None]
    variants = list(owners(segments(experiment), f"{experiment.salt}:", units))
    if experiment.layer is not None:
        chosen = owners(layer_segments([experiment]), layer_salt(experiment), units)
        variants = [v if name else None for v, name in zip(variants, chosen, strict=True)]
    overrides = {} if experiment.stopped else experiment.overrides
    for place, unit in enumerate(units):
        if not UNIT.fullmatch(unit):
            variants[place] = experiment.control
        elif unit in overrides:
            variants[place] = overrides[unit]
    return variants


def layer_salt(experiment: Experiment) -> str:
    """Give what is put before the unit to draw its place in the layer."""
    return f"layer:{experiment.layer.name}:" if experiment.layer else ""


def owners(runs: Sequence[Segment], prefix: str, units: Sequence[str]) -> list[str]:
    """Name the run that each unit falls into.

    Args:
        runs: adding up to 100 %.
        prefix: what is put before the unit to draw it.
        units: any texts.

    Source: ngx_http_split_clients_module.c of nginx, whose rounding of every run to whole hashes
    is kept: where a run ends can differ by a hash or two in 2**32 with how those before are cut.
    """
    ends = np.cumsum([hundredths(run.percent) * 0xFFFFFFFF // BUCKETS for run in runs[:-1]])
    places = np.searchsorted(ends, murmur2(prefix, units), side="right")
    return [runs[place].variant for place in places]


def hundredths(percent: float) -> int:
    """Turn a percentage of two decimals into the whole number of buckets it stands for."""
    return round(percent * 100)


def murmur2(prefix: str, units: Sequence[str]) -> NDArray[np.uint32]:
    """Hash prefix + unit as nginx does, uint32 [n].

    Source: ngx_murmur_hash2 of nginx: MurmurHash2, 32 bits, little-endian, seed 0.
    """
    texts = [(prefix + unit).encode() for unit in units]
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    hashes = np.empty(len(texts), np.uint32)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        joined = b"".join(texts[row] for row in rows)
        hashes[rows] = _murmur2(np.frombuffer(joined, np.uint8).reshape(len(rows), length))
    return hashes


def _murmur2(texts: NDArray[np.uint8]) -> NDArray[np.uint32]:
    count, length = texts.shape
    whole = length // 4 * 4
    words = np.ascontiguousarray(texts[:, :whole]).view("<u4")
    h = np.full(count, length, np.uint32)
    for column in range(words.shape[1]):
        k = words[:, column] * _M
        k ^= k >> np.uint32(24)
        k *= _M
        h *= _M
        h ^= k
    if length > whole:
        for place in range(whole, length):
            h ^= texts[:, place].astype(np.uint32) << np.uint32(8 * (place - whole))
        h *= _M
    h ^= h >> np.uint32(13)
    h *= _M
    h ^= h >> np.uint32(15)
    return h
