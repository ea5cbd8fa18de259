"""Activity vectors: real tokens per CPU-second, ours and what else runs the same encoder.

A vector is the mean over a document's tokens of the last four layers, 12 x 128. Documents are 8 to
512 subwords long, 178 on average. ONNX Runtime and OpenVINO run the model that transformers'
BertModel exports to, one document at a time without padding, the best way found for them.
"""

import time
from pathlib import Path

import numpy as np

from benchmarks.harness import Benchmark, Row, measure

DOCUMENTS = 400
PADDED_DOCUMENTS = 48  # of the same lengths; padding makes each of them slow
VOCABULARY = 20_000
LIMIT = 512
TRAINING_STEPS = 20

HUGGING_FACE = {
    "eager attention, batch 32": {"attention": "eager", "batch": 32},
    "eager attention, batch 1": {"attention": "eager", "batch": 1},
    "default (SDPA) attention, batch 32": {"attention": "sdpa", "batch": 32},
}
RUNTIMES = {"ONNX Runtime fp32": "onnxruntime", "OpenVINO f32": "openvino"}


def embed(work: Path) -> list[Row]:
    encoder, module = str(work / "encoder"), "benchmarks.bench_embed"
    measure(f"{module}:train", target=encoder)
    ours = measure(f"{module}:ours", threads=1, encoder=encoder).value
    unit = "tokens/CPU-s"
    rows = []
    for name, arguments in HUGGING_FACE.items():
        peer = measure(f"{module}:hugging_face", threads=1, encoder=encoder, **arguments).value
        label = f"HF BertModel padded to 512, {name}"
        rows.append(Row("vectors", unit, ours["speed"], peer, label, "ratio >= 10"))
    runtimes = {
        name: measure(f"{module}:{function}", threads=1, encoder=encoder).value
        for name, function in RUNTIMES.items()
    }
    for name, peer in runtimes.items():
        rows.append(Row("vectors", unit, ours["speed"], peer, name, "ratio >= 1"))
    return [*rows, Row("cosine to fp32, least", "", ours["cosine"], target="ours >= 0.9999")]


BENCHMARKS = [Benchmark("embed", embed)]


def train(target: str) -> None:
    """Write an encoder that has left its random start."""
    from benchmarks.bench_pretrain import corpus, subwords
    from components.encoder.config import EncoderConfig, PretrainConfig
    from components.encoder.pretrain import MaskedLanguageTask
    from components.encoder.training import train
    from components.encoder.weights import cpu_state, save_encoder

    size = EncoderConfig()
    config = PretrainConfig(batch=16, evaluations=1, learning_rate=2e-3)
    documents = corpus(16 * TRAINING_STEPS, VOCABULARY)
    task = MaskedLanguageTask(documents, subwords(VOCABULARY), size, config, seed=0)
    task.steps = TRAINING_STEPS
    checkpoints = Path(target).with_name("checkpoints")
    train(task, config, description="train", seed=0, checkpoints=checkpoints, identity="benchmark")
    nothing = Path(target).with_name("vocabulary")
    nothing.mkdir()
    save_encoder(Path(target), cpu_state(task.module), size, nothing)


def ours(encoder: str) -> dict[str, float]:
    """Embed as `intent run` does; speed, and the least cosine to torch in fp32."""
    from types import SimpleNamespace

    import torch

    from components.encoder.batching import pack
    from components.encoder.config import EmbedConfig, EncoderConfig
    from components.encoder.embed import Embedder
    from components.encoder.model import Bert
    from components.encoder.weights import StoredEncoder

    bert = Bert(EncoderConfig(), VOCABULARY).eval()
    bert.load_state_dict(_weights(encoder))
    stored = StoredEncoder(bert, SimpleNamespace(cls=2), None, {}, "benchmark")
    embedder = Embedder(stored, EmbedConfig())
    documents = _documents()
    embedder.embed(documents[:4])
    start = time.process_time()
    vectors = embedder.embed(documents)
    seconds = time.process_time() - start
    with torch.inference_mode():
        exact = [bert.pooled(pack([one], 2), "mean_last4")[0] for one in documents[:50]]
    cosine = torch.cosine_similarity(torch.stack(exact), torch.from_numpy(vectors[:50]))
    return {"speed": _tokens(documents) / seconds, "cosine": float(cosine.min())}


def hugging_face(encoder: str, attention: str, batch: int) -> float:
    """Embed batch by batch, padded to 512."""
    import torch
    from transformers import BertModel

    model = BertModel.from_pretrained(encoder, attn_implementation=attention).eval()
    documents = _documents()[:PADDED_DOCUMENTS]

    @torch.inference_mode()
    def vectors(part: list[np.ndarray]) -> None:
        ids = torch.zeros(len(part), LIMIT, dtype=torch.int64)
        real = torch.zeros_like(ids)
        for row, document in enumerate(part):
            ids[row, 0] = 2
            ids[row, 1 : 1 + len(document)] = torch.from_numpy(document)
            real[row, : 1 + len(document)] = 1
        out = model(ids, attention_mask=real, output_hidden_states=True)
        tokens = torch.cat(out.hidden_states[-4:], dim=2) * real[..., None]
        tokens.sum(1) / real.sum(1, keepdim=True)

    vectors(documents[:1])
    start = time.process_time()
    for first in range(0, len(documents), batch):
        vectors(documents[first : first + batch])
    return _tokens(documents) / (time.process_time() - start)


def onnxruntime(encoder: str) -> float:
    """Embed document by document in an ONNX Runtime session."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(_exported(encoder), options)
    return _one_by_one(lambda ids: session.run(None, {"ids": ids}))


def openvino(encoder: str) -> float:
    """Embed document by document in OpenVINO, in fp32."""
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": 1,
    }
    core = openvino.Core()
    model = core.compile_model(core.read_model(_exported(encoder)), "CPU", settings)
    request = model.create_infer_request()
    return _one_by_one(lambda ids: request.infer({"ids": ids}))


def _one_by_one(run) -> float:
    documents = _documents()
    run(np.array([[2, *documents[0]]]))
    start = time.process_time()
    for document in sorted(documents, key=len):
        run(np.array([[2, *document]]))
    return _tokens(documents) / (time.process_time() - start)


def _exported(encoder: str) -> str:
    import torch
    from transformers import BertModel

    class Pooled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = BertModel.from_pretrained(encoder).eval()

        def forward(self, ids):
            out = self.bert(ids, output_hidden_states=True)
            return torch.cat(out.hidden_states[-4:], dim=2).mean(1)

    path = str(Path(encoder) / "model.onnx")
    torch.onnx.export(
        Pooled(),
        (torch.arange(5, 45)[None],),
        path,
        input_names=["ids"],
        output_names=["pooled"],
        dynamic_axes={"ids": {0: "documents", 1: "tokens"}},
        opset_version=17,
        dynamo=False,
    )
    return path


def _weights(encoder: str) -> dict:
    from safetensors.torch import load_file

    state = load_file(Path(encoder) / "model.safetensors")
    return {k.removeprefix("bert."): v for k, v in state.items() if k.startswith("bert.")}


def _documents() -> list[np.ndarray]:
    from benchmarks.bench_pretrain import corpus

    shard = corpus(DOCUMENTS, VOCABULARY).shards[0]
    ends = shard.session_offsets[shard.member_offsets]
    return np.split(shard.tokens, ends[1:-1])


def _tokens(documents: list[np.ndarray]) -> int:
    return sum(len(document) + 1 for document in documents)
