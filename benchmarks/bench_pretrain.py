"""Pre-training: real tokens per second of a training step, ours and Hugging Face's.

All contenders train the same model on the same masked sequences, 8 to 512 subwords long, 178 on
average. Only training is timed: Hugging Face's collators cost it nothing here, ours run within.
"""

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from benchmarks.harness import Benchmark, Row, measure

VOCABULARY = 100_000
LIMIT = 512
BATCH = 32
STEPS = 1
GPU_BATCH = 32 * 30  # what the paper's 30 workers take together
GPU_STEPS = 60
TARGET_H100 = 3.8e6  # tokens per second of the paper's 30 V100 together


def on_cpu(work: Path) -> list[Row]:
    figures = {
        name: measure(f"benchmarks.bench_pretrain:{name}", threads=1).value
        for name in ("ours", "masked_only", "run_mlm")
    }
    name, unit = "training step, 12x128", "tokens/CPU-s"
    return [
        Row(
            name,
            unit,
            figures["ours"],
            figures["run_mlm"],
            "HF BertForMaskedLM as run_mlm.py: padded to 512, all logits, default (SDPA) attention",
            "ratio >= 7",
        ),
        Row(
            name,
            unit,
            figures["ours"],
            figures["masked_only"],
            "HF SDPA, padded to the batch's longest, logits on masked positions",
            "ratio >= 1.5",
        ),
    ]


def on_gpu(work: Path) -> list[Row]:
    import torch

    if not torch.cuda.is_available():
        print("pretrain on a GPU: skipped, this machine has none", file=sys.stderr)
        return []
    rows = []
    for hidden, heads in ((128, 2), (256, 4)):
        arguments = {"hidden": hidden, "heads": heads, "batch": GPU_BATCH, "steps": GPU_STEPS}
        ours = measure("benchmarks.bench_pretrain:ours_on_gpu", **arguments).value
        arguments |= {"steps": 4}
        peer = measure("benchmarks.bench_pretrain:run_mlm", **arguments).value
        name = f"training step, 12x{hidden}"
        rows += [
            Row(name, "tokens/s", ours["speed"], peer, "HF run_mlm.py, bf16", "ratio >= 7"),
            Row(f"{name}, MFU", "", ours["mfu"], target="ours >= 0.1"),
        ]
        if hidden == 128:
            rows.append(Row(f"{name}, alone", "tokens/s", ours["speed"], target="ours >= 3.8e6"))
    return rows


BENCHMARKS = [Benchmark("pretrain CPU", on_cpu), Benchmark("pretrain GPU", on_gpu)]


def ours(hidden: int = 128, heads: int = 2, batch: int = BATCH, steps: int = STEPS) -> float:
    """Train through `components.encoder` as `intent run` does; tokens per CPU-second."""
    marks, _ = _train_ours(hidden, heads, batch, steps, time.process_time)
    return _speed(marks)


def ours_on_gpu(hidden: int, heads: int, batch: int, steps: int) -> dict[str, float]:
    """Train through `components.encoder`; tokens per second and MFU."""
    marks, log = _train_ours(hidden, heads, batch, steps, _gpu_seconds)
    return {"speed": _speed(marks[len(marks) // 2 :]), "mfu": log[-1]["mfu"]}


def run_mlm(hidden: int = 128, heads: int = 2, batch: int = BATCH, steps: int = STEPS) -> float:
    """Train as transformers' run_mlm.py: padded to 512, logits everywhere."""
    return _train_peer(hidden, heads, batch, steps, at_once=8, everywhere=True)


def masked_only(hidden: int = 128, heads: int = 2, batch: int = BATCH, steps: int = STEPS) -> float:
    """Train with what is easily had: less padding, logits only where they are needed."""
    return _train_peer(hidden, heads, batch, steps, at_once=batch, everywhere=False)


def _task(hidden: int, heads: int, batch: int, steps: int):
    from components.encoder.config import EncoderConfig, PretrainConfig
    from components.encoder.pretrain import MaskedLanguageTask

    encoder = EncoderConfig(layers=12, hidden=hidden, heads=heads, max_tokens=LIMIT)
    config = PretrainConfig(batch=batch, evaluations=1, checkpoint_seconds=1e9)
    documents = batch * (steps + 1)
    task = MaskedLanguageTask(corpus(documents), subwords(), encoder, config, seed=0)
    task.steps = steps + 1
    return task, config


def _train_ours(hidden, heads, batch, steps, clock):
    """Train some steps; returns (time, tokens) after each."""
    import tempfile

    from components.encoder.training import train

    task, config = _task(hidden, heads, batch, steps)
    marks, work = [], task.work

    def marked(example):
        tokens, operations = work(example)
        marks.append((clock(), tokens))
        return tokens, operations

    task.work = marked
    with tempfile.TemporaryDirectory() as directory:
        log = train(
            task,
            config,
            description="benchmark",
            seed=0,
            checkpoints=Path(directory),
            identity="benchmark",
        )
    return marks, log


def _train_peer(hidden, heads, batch, steps, *, at_once, everywhere):
    import torch
    from transformers import BertConfig, BertForMaskedLM

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    task, _ = _task(hidden, heads, batch, steps)
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=hidden,
            num_hidden_layers=12,
            num_attention_heads=heads,
            intermediate_size=4 * hidden,
            max_position_embeddings=LIMIT,
        )
    )
    model.to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    clock = _gpu_seconds if device.type == "cuda" else time.process_time
    marks = []
    for step in range(steps + 1):
        whole = _padded(task.batch(step, 0), everywhere)
        parts = [tuple(t[i : i + at_once] for t in whole) for i in range(0, batch, at_once)]
        if step == 0:  # warms caches and memory pools, which a few sequences do
            parts = [tuple(t[:2] for t in parts[0])]
        tokens = 0
        for ids, real, labels, segments in parts:
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                inputs = {
                    "input_ids": ids.to(device),
                    "attention_mask": real.to(device),
                    "token_type_ids": segments.to(device),
                }
                labels = labels.to(device)
                if everywhere:
                    loss = model(**inputs, labels=labels).loss
                else:
                    chosen = model.bert(**inputs).last_hidden_state[labels >= 0]
                    scores = model.cls(chosen)
                    loss = torch.nn.functional.cross_entropy(scores, labels[labels >= 0])
            (loss / len(parts)).backward()
            tokens += int(real.sum())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        marks.append((clock(), tokens))
    return _speed(marks)


def _padded(example, to_limit: bool):
    import torch
    from torch.nn.utils.rnn import pad_sequence

    labels = torch.full_like(example.packed.ids, -100)
    labels[example.masked] = example.words
    longest = LIMIT if to_limit else max(example.packed.lengths)
    columns = (example.packed.ids, torch.ones_like(labels), labels, example.packed.segments)
    padded = []
    for column, filler in zip(columns, (0, 0, -100, 0), strict=True):
        rows = pad_sequence(column.split(example.packed.lengths), True, filler)
        wider = (0, longest - rows.shape[1])
        padded.append(torch.nn.functional.pad(rows, wider, value=filler))
    return tuple(padded)


def _speed(marks) -> float:
    """Tokens per second behind the first mark."""
    return sum(tokens for _, tokens in marks[1:]) / (marks[-1][0] - marks[0][0])


def _gpu_seconds() -> float:
    import torch

    torch.cuda.synchronize()
    return time.perf_counter()


def corpus(documents: int, vocabulary: int = VOCABULARY):
    """Documents of sessions as the token shards hold them, Zipf-distributed subwords."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(4.85, 0.8, documents), 8, LIMIT).astype(np.int64) - 1
    sessions = [np.full(max(1, n // 12), n // max(1, n // 12)) for n in lengths]
    for own, length in zip(sessions, lengths, strict=True):
        own[-1] += length - own.sum()
    ids = 20 + (random.pareto(0.5, lengths.sum()) * 20).astype(np.int64) % (vocabulary - 20)
    shard = SimpleNamespace(
        tokens=ids.astype(np.int32),
        session_offsets=np.concatenate([[0], np.cumsum(np.concatenate(sessions))]),
        member_offsets=np.concatenate([[0], np.cumsum([len(own) for own in sessions])]),
        split=np.zeros(documents, np.int8),
    )
    return SimpleNamespace(shards=[shard])


def subwords(size: int = VOCABULARY):
    """Every third subword continues a word."""
    return SimpleNamespace(
        size=size,
        cls=2,
        mask=4,
        action_ids=np.arange(5, 13),
        word_start=np.arange(size) % 3 > 0,
    )
