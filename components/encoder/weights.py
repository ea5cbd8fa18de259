"""Encoders on disk, in the form transformers reads."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from components.encoder.config import EncoderConfig, Pooling
from components.encoder.errors import EncoderError
from components.encoder.model import LAYER_NORM_EPS, Bert
from components.files import whole_directory
from components.text.vocabulary import Vocabulary

PREFIX = "bert."


class StoredEncoder(NamedTuple):
    """An encoder read back.

    Attributes:
        bert: the encoder, in evaluation mode, on the CPU.
        vocabulary: that its ids belong to.
        pooling: that it was fine-tuned with; None when only pre-trained.
        heads: parameters of the heads, by name.
        version: hash of the weights; vectors carry it.
    """

    bert: Bert
    vocabulary: Vocabulary
    pooling: Pooling | None
    heads: dict[str, Tensor]
    version: str


def save_encoder(
    target: Path,
    state: dict[str, Tensor],
    config: EncoderConfig,
    vocabulary: Path,
    *,
    pooling: Pooling | None = None,
    log: Path | None = None,
) -> None:
    """Write an encoder with its heads, vocabulary and training log, all or nothing.

    Args:
        target: directory to write.
        state: parameters; the encoder's begin with `bert.`.
        config: sizes.
        vocabulary: directory written by `train_vocabulary`; it is copied in.
        pooling: that the encoder was fine-tuned with, if it was.
        log: training log to keep.
    """
    size = len(state[f"{PREFIX}embeddings.word_embeddings.weight"])
    about = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": size,
        "hidden_size": config.hidden,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.feed_forward,
        "hidden_act": "gelu",
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": 0.0,
        "max_position_embeddings": config.max_tokens,
        "type_vocab_size": 2,
        "layer_norm_eps": LAYER_NORM_EPS,
        "pad_token_id": 0,
        "pooling": pooling,
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with whole_directory(target) as directory:
        shutil.copytree(vocabulary, directory, dirs_exist_ok=True)
        save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
        about["version"] = _version(directory / "model.safetensors")
        (directory / "config.json").write_text(json.dumps(about, indent=2) + "\n")
        if log is not None:
            shutil.copy(log, directory / "log.jsonl")


class LabelWeights(NamedTuple):
    """The label layer of a fine-tuned encoder, for scoring vectors of newest chunks.

    Attributes:
        scale: float32[d], of the normalisation.
        shift: float32[d], likewise.
        weight: float32[L, d].
        bias: float32[L].
    """

    scale: np.ndarray
    shift: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    def features(self, vectors: np.ndarray) -> np.ndarray:
        """Return float32[n, d], what scores are linear in, from pooled vectors [n, d]."""
        centred = vectors - vectors.mean(axis=1, keepdims=True)
        deviation = np.sqrt(centred.var(axis=1, keepdims=True) + LAYER_NORM_EPS)
        return centred / deviation * self.scale + self.shift


def load_label_weights(directory: Path) -> LabelWeights:
    """Read the label layer that `finetune` wrote beside the encoder.

    Raises:
        EncoderError: a file is missing or damaged, or the encoder was not fine-tuned.
    """
    heads = load_encoder(directory).heads
    names = ("scale.weight", "scale.bias", "weight", "bias")
    try:
        return LabelWeights(*(heads[f"labels.{name}"].numpy() for name in names))
    except KeyError as error:
        raise EncoderError(f"{directory}: holds no label layer, it was not fine-tuned") from error


def load_encoder(directory: Path) -> StoredEncoder:
    """Read what `save_encoder` wrote.

    Raises:
        EncoderError: a file is missing or damaged; names it.
    """
    try:
        about = json.loads((directory / "config.json").read_text())
        config = _config(about)
        words, pooling, version = about["vocab_size"], about["pooling"], about["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EncoderError(f"{directory / 'config.json'}: unreadable: {error!r}") from error
    weights = directory / "model.safetensors"
    try:
        state = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise EncoderError(f"{weights}: missing or damaged: {error}") from error
    bert = Bert(config, words)
    own = {name.removeprefix(PREFIX): t for name, t in state.items() if name.startswith(PREFIX)}
    heads = {name: tensor for name, tensor in state.items() if not name.startswith(PREFIX)}
    heads |= {f"{PREFIX}{name}": own.pop(name) for name in list(own) if name.startswith("pooler.")}
    try:
        bert.load_state_dict(own)
    except RuntimeError as error:
        raise EncoderError(f"{weights}: does not fit config.json: {error}") from error
    vocabulary = Vocabulary.load(directory)
    return StoredEncoder(bert.eval(), vocabulary, pooling, heads, version)


def _config(about: dict) -> EncoderConfig:
    return EncoderConfig(
        layers=about["num_hidden_layers"],
        hidden=about["hidden_size"],
        heads=about["num_attention_heads"],
        intermediate=about["intermediate_size"],
        max_tokens=about["max_position_embeddings"],
        dropout=about["hidden_dropout_prob"],
    )


def _version(weights: Path) -> str:
    with weights.open("rb") as content:
        return hashlib.file_digest(content, "blake2b").hexdigest()[:16]


def cpu_state(module: torch.nn.Module) -> dict[str, Tensor]:
    """Return a module's parameters, detached, on the CPU."""
    return {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
