"""What the device can do: precision, compilation, peak arithmetic."""

import contextlib
import time
from contextlib import AbstractContextManager

import torch

from components.encoder.config import Precision
from components.encoder.errors import EncoderError

# Dense tensor-core peaks as published, in FLOP/s, of the half precision each GPU trains in.
GPU_PEAKS = {"V100": 125e12, "A100": 312e12, "H100": 989e12, "H200": 989e12, "L4": 121e12}


def pick_device() -> torch.device:
    """Return the GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def product_dtype(device: torch.device, precision: Precision) -> torch.dtype:
    """Return the type of matrix products; `auto` takes the fastest that the hardware computes in.

    Raises:
        EncoderError: the precision asked for is not to be had on the device.
    """
    has_bf16 = (
        torch.cuda.get_device_capability(device) >= (8, 0)
        if device.type == "cuda"
        else torch.cpu._is_avx512_bf16_supported()
    )
    if precision == "auto":
        if has_bf16:
            return torch.bfloat16
        return torch.float16 if device.type == "cuda" else torch.float32
    if precision == "bf16" and not has_bf16:
        raise EncoderError("precision bf16: this device has no bf16 arithmetic, use auto")
    if precision == "fp16" and device.type != "cuda":
        raise EncoderError("precision fp16: only GPUs train in it, use auto")
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """Return the context in which matrix products are of a type."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype)


def peak_flops(device: torch.device) -> float:
    """Return the device's arithmetic peak, FLOP/s: published for GPUs, measured for CPUs."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return next((peak for key, peak in GPU_PEAKS.items() if key in name), float("nan"))
    size = 1024
    left, right = torch.ones(size, size), torch.ones(size, size)  # no draw: a resumed run repeats
    best = min(_seconds(lambda: left @ right) for _ in range(5))
    return 2 * size**3 / best


def _seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
