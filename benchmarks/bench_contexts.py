"""Long contexts: one pass with attention among neighbours, by the length of the document.

Documents are 1 to 20 chunks of 512 subwords, vectors the mean over the tokens of the last four
layers, 12 x 128. Beside one pass stand chunks encoded alone and averaged, and attention of all
subwords to all, by the same encoder; and transformers' Longformer of the same sizes and window,
which pads documents to whole windows.
"""

import time
from pathlib import Path

import numpy as np

from benchmarks.harness import Benchmark, Row, measure

CHUNK, VOCABULARY = 512, 20_000
LENGTHS = (1, 2, 5, 10, 20)
MEASURED = 5
SECONDS = 2.0
"""CPU time that each document is encoded anew for."""


def contexts(work: Path) -> list[Row]:
    module, rows = "benchmarks.bench_contexts", []
    speed, peak = "tokens/CPU-s", "MB beyond the encoder"
    for chunks in LENGTHS:
        ours = measure(f"{module}:ours", threads=1, way="one pass", chunks=chunks).value
        for way in ("averaged chunks", "attention of all to all"):
            peer = measure(f"{module}:ours", threads=1, way=way, chunks=chunks).value
            name = f"{chunks} chunks"
            target = "ratio >= 0.4" if way == "averaged chunks" else "ratio >= 0.9"
            rows.append(Row(name, speed, ours["speed"], peer["speed"], way, target))
            if chunks == LENGTHS[-1]:
                target = "ratio <= 4" if way == "averaged chunks" else "ratio <= 1.1"
                rows.append(Row(f"memory, {name}", peak, ours["peak"], peer["peak"], way, target))
        if chunks in (1, MEASURED):
            peer = measure(f"{module}:longformer", threads=1, chunks=chunks).value
            label = "HF LongformerModel"
            rows.append(Row(f"{chunks} chunks", speed, ours["speed"], peer, label, "ratio >= 1"))
    return rows


BENCHMARKS = [Benchmark("contexts", contexts)]


def ours(way: str, chunks: int) -> dict[str, float]:
    """Encode one document in one of the ways: tokens per CPU-second, and memory at its highest."""
    import torch

    from benchmarks.child import peak_bytes
    from components.encoder.batching import pack
    from components.encoder.config import EncoderConfig
    from components.encoder.model import Bert

    torch.manual_seed(0)
    bert = Bert(EncoderConfig(max_tokens=CHUNK), VOCABULARY).eval()
    document, limit = _document(chunks), CHUNK - 1
    packed = {
        "one pass": lambda: [pack([document], 2, longest=CHUNK, window=CHUNK // 2)],
        "averaged chunks": lambda: [pack([part], 2) for part in np.split(document, chunks)],
        # A window over the whole document is attention of all to all.
        "attention of all to all": lambda: [pack([document], 2, longest=CHUNK, window=1)],
    }[way]()
    if way == "attention of all to all":
        for layer in bert.encoder.layer:
            layer.attention.self.longest = len(document) + 1
    assert sum(len(one.ids) for one in packed) >= chunks * limit

    @torch.inference_mode()
    def encode() -> None:
        torch.stack([bert.pooled(one, "mean_last4") for one in packed]).mean(0)

    with torch.inference_mode():
        bert.pooled(pack([document[:8]], 2), "mean_last4")
    before = peak_bytes()
    speed = _speed(encode, len(document))
    return {"speed": speed, "peak": (peak_bytes() - before) / 1e6}


def longformer(chunks: int) -> float:
    """Encode the document with transformers' Longformer, [CLS] global as ours is."""
    import torch
    from transformers import LongformerConfig, LongformerModel

    document = _document(chunks)
    config = LongformerConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        num_hidden_layers=12,
        num_attention_heads=2,
        intermediate_size=512,
        max_position_embeddings=len(document) + CHUNK + 2,
        attention_window=CHUNK,
    )
    model = LongformerModel(config, add_pooling_layer=False).eval()
    ids = torch.from_numpy(np.append(2, document).astype(np.int64))[None]
    everywhere = torch.zeros_like(ids)
    everywhere[0, 0] = 1

    @torch.inference_mode()
    def encode() -> None:
        out = model(ids, global_attention_mask=everywhere, output_hidden_states=True)
        torch.cat(out.hidden_states[-4:], dim=2).mean(1)

    return _speed(encode, len(document))


def _document(chunks: int) -> np.ndarray:
    return np.random.default_rng(0).integers(16, VOCABULARY, chunks * (CHUNK - 1)).astype(np.int32)


def _speed(encode, tokens: int) -> float:
    encode()
    start, times = time.process_time(), 0
    while time.process_time() - start < SECONDS:
        encode()
        times += 1
    return times * tokens / (time.process_time() - start)
