"""Half-precision rows, read by compiled code without a copy."""

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray


def as_bits(values: NDArray[np.float16]) -> NDArray[np.uint16]:
    """View half-precision numbers as the integers that compiled code takes them for."""
    return values.view(np.uint16)


@numba.njit(nogil=True, cache=True, fastmath=True)
def dot(half, x):
    """Inner product of a row of `as_bits` and a float32 row."""
    total = np.float32(0)
    for i in range(len(x)):
        total += _widen(half[i]) * x[i]  # type: ignore[call-arg]
    return total


@numba.njit(nogil=True, cache=True)
def widen_rows(half, out):
    """Write rows of `as_bits`, [n, d], as float32."""
    for i in range(half.shape[0]):
        for j in range(half.shape[1]):
            out[i, j] = _widen(half[i, j])  # type: ignore[call-arg]


@intrinsic
def _widen(_, bits):
    def code(context, builder, signature, arguments):
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), code
