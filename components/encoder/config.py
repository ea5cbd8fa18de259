"""Sizes of the encoder and how it is pre-trained, fine-tuned and applied."""

from typing import Literal, Self

from pydantic import Field, model_validator

from components.config import Config

Pooling = Literal["cls", "mean", "cls_last4", "mean_last4"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


class EncoderConfig(Config):
    """Sizes of the BERT encoder; the default is the paper's choice (Table 2).

    Attributes:
        layers: Transformer layers.
        hidden: width of a token's vector.
        heads: attention heads; they divide `hidden`.
        intermediate: width of the feed-forward layer; 4 x hidden when unset.
        max_tokens: subwords of one chunk, [CLS] included.
        dropout: on embeddings and sub-layer outputs, while training.
    """

    layers: int = Field(default=12, ge=1)
    hidden: int = Field(default=128, ge=8)
    heads: int = Field(default=2, ge=1)
    intermediate: int | None = Field(default=None, ge=8)
    max_tokens: int = Field(default=512, ge=16, le=8192)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide_hidden(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} is not a multiple of heads {self.heads}")
        return self

    @property
    def feed_forward(self) -> int:
        """Width of the feed-forward layer."""
        return self.intermediate or 4 * self.hidden


class OptimiserConfig(Config):
    """What pre-training and fine-tuning share.

    Attributes:
        batch: documents of one step.
        accumulate: forward passes that one step's documents are spread over.
        learning_rate: peak, reached after the warm-up; it falls linearly to 0.
        weight_decay: of AdamW, on matrices only.
        warmup: share of the steps in which the learning rate rises.
        gradient_norm: longest gradient; longer ones are scaled down.
        precision: of matrix products; `auto` takes bf16 where the device computes in it, fp16 with
            gradient scaling on older GPUs, fp32 elsewhere.
        compile: whether torch.compile builds the model; `auto` does on GPUs.
        checkpoint_seconds: time between two checkpoints.
        evaluations: how often in a run the validation loss is taken.
    """

    batch: int = Field(default=32, ge=1)
    accumulate: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=5e-4, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: float = Field(default=0.2, ge=0, le=1)
    gradient_norm: float = Field(default=1.0, gt=0)
    precision: Precision = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    checkpoint_seconds: float = Field(default=60.0, ge=0)
    evaluations: int = Field(default=10, ge=1)

    @model_validator(mode="after")
    def _batch_is_spread_evenly(self) -> Self:
        if self.batch % self.accumulate:
            raise ValueError(
                f"batch {self.batch} is not a multiple of accumulate {self.accumulate}"
            )
        return self


class PretrainConfig(OptimiserConfig):
    """Masked-language-model training (paper, section 3.3).

    Attributes:
        epochs: passes over the duplicated corpus, so a document is seen epochs x dupe_factor times.
        dupe_factor: different maskings of a document, at most 64.
        mask_share: share of the words that are predicted.
        next_sentence: also learn whether the second segment follows the first (MIND, Appendix A).
    """

    epochs: float = Field(default=2.0, gt=0)
    dupe_factor: int = Field(default=3, ge=1, le=64)
    mask_share: float = Field(default=0.15, gt=0, lt=1)
    next_sentence: bool = False


class FinetuneConfig(OptimiserConfig):
    """Training of encoder and label layer together on a member's entities (paper, section 3.4).

    Attributes:
        epochs: passes over the training examples.
        dataset: whose labels are learnt: D1, of the target sessions; D2, of all sessions.
        pooling: how token vectors become one vector.
        label_learning_rate: peak learning rate of the label layer.
        label_dropout: share of the pooled vector's features dropped before the label layer.
        loss: over all labels, or over a `shortlist`: the batch's own labels and a uniform sample of
            others, weighted up to stand for all.
        shortlist: labels sampled per step for the shortlist loss.
        label_chunk: labels whose scores are held in memory at once.
    """

    epochs: float = Field(default=4.0, gt=0)
    dataset: Literal["D1", "D2"] = "D2"
    pooling: Pooling = "mean_last4"
    label_learning_rate: float = Field(default=5e-3, gt=0)
    label_dropout: float = Field(default=0.0, ge=0, lt=1)
    loss: Literal["full", "shortlist"] = "full"
    shortlist: int = Field(default=4096, ge=1)
    label_chunk: int = Field(default=65536, ge=1)


class EmbedConfig(Config):
    """How activity vectors are extracted.

    Attributes:
        pooling: for an encoder that was only pre-trained; a fine-tuned one brings its own.
        contexts: `chunks` encodes each chunk alone and averages their vectors (the paper's way);
            `one_pass` encodes as many subwords together, each attending to its neighbours. A chunk
            that is closed never has to be encoded again, a long context has to as a whole, each
            time that its member does something.
        chunks: most recent chunks of a document that its vector is made of (paper: 5).
        window: in one pass, tokens to each side that a token attends to; half of the encoder's
            `max_tokens` when unset, so that it attends to as many as in a chunk.
        engine: what computes on CPU; `auto` takes the fastest. A GPU always computes in torch, and
            so do documents of more than one chunk in one pass.
    """

    pooling: Pooling = "mean_last4"
    contexts: Literal["chunks", "one_pass"] = "chunks"
    chunks: int = Field(default=5, ge=1)
    window: int | None = Field(default=None, ge=1)
    engine: Literal["auto", "torch", "onnxruntime", "openvino"] = "auto"
