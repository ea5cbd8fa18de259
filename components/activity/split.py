"""Which members train the models, on which choices are made, and on which results are reported."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

TRAIN, VALIDATION, TEST = 0, 1, 2
BITS = 53  # what a float64 holds exactly


def member_split(
    member_ids: Sequence[str] | np.ndarray, *, seed: int, validation: float, test: float
) -> np.ndarray:
    """Assign each member to a split by a keyed hash of his id alone.

    The answer for a member depends on no other member and on no order, and more test or validation
    members leave those that already were.

    Args:
        member_ids: n ids.
        seed: draws another split.
        validation: share of members, from 0 to 1.
        test: share of members, from 0 to 1.

    Returns:
        int8[n] of TRAIN, VALIDATION and TEST.
    """
    key = seed.to_bytes(8, "little", signed=True)
    digests = b"".join(
        blake2b(str(member).encode(), digest_size=8, key=key).digest() for member in member_ids
    )
    draw = (np.frombuffer(digests, "<u8") >> (64 - BITS)) / 2.0**BITS
    split = np.full(len(draw), TRAIN, np.int8)
    # Test from the low end, validation from the high end: each grows into train only.
    split[draw >= 1 - validation] = VALIDATION
    split[draw < test] = TEST
    return split
