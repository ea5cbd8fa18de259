"""What turns chunks into vectors: torch on GPUs, ONNX Runtime or OpenVINO on CPUs.

All take documents without padding. On CPUs torch packs them end to end; the runtimes, which know
rectangles only, take those of one length together. `benchmarks/bench_embed.py` compares them.
Documents longer than a chunk are torch's alone: no runtime has an operator for attention among
neighbours.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Literal

import numpy as np
import torch

from components.encoder.batching import pack
from components.encoder.config import Pooling
from components.encoder.device import autocast, product_dtype
from components.encoder.graph import EMBEDDED, pooling_graph
from components.encoder.model import Bert, pooled_layers

TOKENS_AT_ONCE = {"cpu": 2048, "cuda": 131_072}  # in torch
RUNTIME_TOKENS_AT_ONCE = 512

Encode = Callable[[Sequence[np.ndarray]], np.ndarray]
Engine = Literal["torch", "onnxruntime", "openvino"]


def fastest_engine(device: torch.device) -> Engine:
    """Return what computes fastest: OpenVINO where the CPU has bf16, else ONNX Runtime in fp32."""
    if device.type != "cpu":
        return "torch"
    return "openvino" if product_dtype(device, "auto") == torch.bfloat16 else "onnxruntime"


def make_encode(
    bert: Bert,
    cls: int,
    pooling: Pooling,
    engine: Engine,
    device: torch.device,
    *,
    window: int | None = None,
) -> Encode:
    """Return a function from chunks (int32 subwords, without [CLS]) to float32[n, d].

    Args:
        bert: the encoder.
        cls: id of [CLS].
        pooling: how token vectors become one vector.
        engine: what computes.
        device: where torch computes.
        window: documents may be longer than a chunk, whose tokens then attend to as many tokens to
            each side; None where there are none.
    """
    short = (
        _torch(bert, cls, pooling, device)
        if engine == "torch"
        else _runtime(bert, cls, pooling, _RUNTIMES[engine])
    )
    if window is None:
        return short
    long = _torch(bert, cls, pooling, device, window)

    def encode(documents: Sequence[np.ndarray]) -> np.ndarray:
        vectors = _empty(documents, bert, pooling)
        rows: dict[bool, list[int]] = {False: [], True: []}
        for row, document in enumerate(documents):
            rows[len(document) + 1 > bert.config.max_tokens].append(row)
        for is_long, own in ((False, short), (True, long)):
            vectors[rows[is_long]] = own([documents[row] for row in rows[is_long]])
        return vectors

    return encode


def _torch(bert: Bert, cls: int, pooling: Pooling, device: torch.device, window: int = 0) -> Encode:
    bert.to(device)
    dtype = product_dtype(device, "auto")
    longest = bert.config.max_tokens if window else None

    @torch.inference_mode()
    def encode(chunks: Sequence[np.ndarray]) -> np.ndarray:
        vectors = _empty(chunks, bert, pooling)
        for rows in batches(chunks, TOKENS_AT_ONCE[device.type]):
            documents = [chunks[row] for row in rows]
            packed = pack(documents, cls, longest=longest, window=window).to(device)
            with autocast(device, dtype):
                vectors[rows] = bert.pooled(packed, pooling).cpu().numpy()
        return vectors

    return encode


Run = Callable[[np.ndarray], np.ndarray]


def _runtime(bert: Bert, cls: int, pooling: Pooling, load: Callable[[bytes], Run]) -> Encode:
    run = load(pooling_graph(bert, pooling))
    tables = bert.embeddings
    words = tables.word_embeddings.weight.detach().numpy()
    places = tables.position_embeddings.weight + tables.token_type_embeddings.weight[0]
    place = places.detach().numpy()
    threads = ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="encode")

    def encode(chunks: Sequence[np.ndarray]) -> np.ndarray:
        vectors = _empty(chunks, bert, pooling)

        def compute(rows: list[int]) -> None:
            ids = np.array([[cls, *chunks[row]] for row in rows])
            vectors[rows] = run(words[ids] + place[: ids.shape[1]])

        together = list(equal_lengths(chunks, RUNTIME_TOKENS_AT_ONCE))
        if len(together) == 1:  # a server's lone request need not wait for another thread
            compute(together[0])
        else:
            list(threads.map(compute, together))
        return vectors

    return encode


def _onnxruntime(graph: bytes) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # a document per core
    session = onnxruntime.InferenceSession(
        graph,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["SkipLayerNormFusion"],  # what it puts in is a tenth slower on CPUs
    )
    return lambda embedded: session.run(None, {EMBEDDED: embedded})[0]


def _openvino(graph: bytes) -> Run:
    import openvino

    core = openvino.Core()
    model = core.compile_model(
        core.read_model(graph),
        "CPU",
        {"NUM_STREAMS": torch.get_num_threads(), "INFERENCE_NUM_THREADS": torch.get_num_threads()},
    )
    own = threading.local()

    def run(embedded: np.ndarray) -> np.ndarray:
        if not hasattr(own, "request"):
            own.request = model.create_infer_request()
        return own.request.infer({EMBEDDED: embedded}, share_inputs=True)[0]

    return run


_RUNTIMES: dict[str, Callable[[bytes], Run]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
}


def batches(chunks: Sequence[np.ndarray], most: int) -> list[list[int]]:
    """Group chunks of like length, up to `most` subwords together."""
    grouped: list[list[int]] = []
    room = 0
    for row in sorted(range(len(chunks)), key=lambda row: len(chunks[row])):
        if len(chunks[row]) + 1 > room:
            grouped.append([])
            room = most
        grouped[-1].append(row)
        room -= len(chunks[row]) + 1
    return grouped


def equal_lengths(chunks: Sequence[np.ndarray], most: int) -> Iterator[list[int]]:
    """Group chunks of one length, longest first, up to `most` subwords together."""

    def length(row: int) -> int:
        return len(chunks[row])

    for same, group in groupby(sorted(range(len(chunks)), key=length, reverse=True), length):
        rows, at_once = list(group), max(1, most // (same + 1))
        for start in range(0, len(rows), at_once):
            yield rows[start : start + at_once]


def _empty(chunks: Sequence[np.ndarray], bert: Bert, pooling: Pooling) -> np.ndarray:
    width = pooled_layers(bert.config, pooling) * bert.config.hidden
    return np.empty((len(chunks), width), np.float32)
