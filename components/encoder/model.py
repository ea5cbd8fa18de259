"""A compact BERT over packed documents: no padding anywhere.

A batch is one long row of tokens with the offsets of its documents. Everything but attention works
on tokens alone; attention runs within documents, and in those longer than `max_tokens` among
neighbours. Parameters carry transformers' names, so `transformers.BertModel.from_pretrained` reads
what `save` in `weights.py` writes.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components.encoder.config import EncoderConfig, Pooling

LAYER_NORM_EPS = 1e-12
EMBEDDING_DEVIATION, POSITION_DEVIATION = 0.05, 0.02


class Packed(NamedTuple):
    """Documents laid end to end: T tokens, B documents.

    Attributes:
        ids: int64[T], subword ids; each document starts with [CLS].
        positions: int64[T], places in the position table; from 0 within a document.
        segments: int64[T], 0 or 1.
        offsets: int32[B + 1], where documents start; the last is T.
        lengths: the documents' lengths on the host, which CPU attention splits by.
        window: tokens to each side that those of a document longer than `max_tokens` attend to.
    """

    ids: Tensor
    positions: Tensor
    segments: Tensor
    offsets: Tensor
    lengths: list[int]
    window: int = 0

    def to(self, device: torch.device) -> "Packed":
        """Copy the tensors to a device."""
        return Packed(
            self.ids.to(device, non_blocking=True),
            self.positions.to(device, non_blocking=True),
            self.segments.to(device, non_blocking=True),
            self.offsets.to(device, non_blocking=True),
            self.lengths,
            self.window,
        )


class Bert(nn.Module):
    """Token embeddings and Transformer layers (Devlin et al. 2018), post-norm, GELU.

    Args:
        config: sizes.
        vocabulary: number of subword ids.
    """

    def __init__(self, config: EncoderConfig, vocabulary: int):
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config, vocabulary)
        self.encoder = Layers(config)
        self.pooler: Pooler | None = None
        self.apply(initialise)

    def forward(self, packed: Packed, *, last: int = 1) -> list[Tensor]:
        """Return the outputs of the `last` layers, each [T, hidden], the final one last."""
        x = self.embeddings(packed)
        outputs = []
        for layer in self.encoder.layer:
            x = layer(x, packed)
            outputs.append(x)
        return outputs[-last:]

    def pooled(self, packed: Packed, pooling: Pooling) -> Tensor:
        """Return one vector per document, float32[B, d] (paper, section 5.1).

        `cls` and `mean` pool the last layer, d = hidden; `cls_last4` and `mean_last4` concatenate
        the last four layers, d = 4 x hidden (fewer when the encoder has fewer layers).
        """
        layers = self(packed, last=pooled_layers(self.config, pooling))
        hidden = torch.cat(layers, dim=1) if len(layers) > 1 else layers[0]
        if pooling.startswith("cls"):
            return hidden[packed.offsets[:-1].long()].float()
        counts = packed.offsets.diff()
        owner = torch.repeat_interleave(
            torch.arange(len(counts), device=hidden.device), counts, output_size=len(hidden)
        )
        total = torch.zeros(len(counts), hidden.shape[1], device=hidden.device)
        return total.index_add(0, owner, hidden.float()) / counts[:, None]


class Embeddings(nn.Module):
    """Sum of word, position and segment vectors, normalised."""

    def __init__(self, config: EncoderConfig, vocabulary: int):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary, config.hidden)
        self.position_embeddings = nn.Embedding(config.max_tokens, config.hidden)
        self.token_type_embeddings = nn.Embedding(2, config.hidden)
        self.LayerNorm = nn.LayerNorm(config.hidden, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.word_embeddings.weight, std=EMBEDDING_DEVIATION)
        nn.init.normal_(self.position_embeddings.weight, std=POSITION_DEVIATION)
        nn.init.normal_(self.token_type_embeddings.weight, std=POSITION_DEVIATION)

    def forward(self, packed: Packed) -> Tensor:
        """Return [T, hidden]."""
        summed = (
            self.word_embeddings(packed.ids)
            + self.position_embeddings(packed.positions)
            + self.token_type_embeddings(packed.segments)
        )
        return self.dropout(self.LayerNorm(summed))


class Layers(nn.Module):
    """The stack of layers."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.layers))


class Pooler(nn.Module):
    """What next-sentence prediction reads: [CLS] through a dense layer."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden, config.hidden)
        self.dense.apply(initialise)

    def forward(self, first: Tensor) -> Tensor:
        """Return [B, hidden]."""
        return torch.tanh(self.dense(first))


class Layer(nn.Module):
    """Self-attention and feed-forward, each added and normalised."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.attention = Attention(config)
        self.intermediate = Intermediate(config)
        self.output = Residual(config.feed_forward, config.hidden, config.dropout)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        """Return [T, hidden]."""
        return self.mix(self.attention.self(x, packed), x)

    def mix(self, attended: Tensor, x: Tensor) -> Tensor:
        """Everything behind attention, token by token: what torch.compile fuses."""
        x = self.attention.output(attended, x)
        return self.output(self.intermediate(x), x)


class Attention(nn.Module):
    """Self-attention and its output projection."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.self = SelfAttention(config)
        self.output = Residual(config.hidden, config.hidden, config.dropout)


class Intermediate(nn.Module):
    """The wide half of the feed-forward layer."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden, config.feed_forward)

    def forward(self, x: Tensor) -> Tensor:
        """Return [T, intermediate]."""
        return F.gelu(self.dense(x))


class SelfAttention(nn.Module):
    """Attention of every token to the tokens of its own document."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.heads, self.longest = config.heads, config.max_tokens
        self.query = nn.Linear(config.hidden, config.hidden)
        self.key = nn.Linear(config.hidden, config.hidden)
        self.value = nn.Linear(config.hidden, config.hidden)

    def forward(self, x: Tensor, packed: Packed) -> Tensor:
        """Return [T, hidden]."""
        projections = (self.query, self.key, self.value)
        weight = torch.cat([projection.weight for projection in projections])
        bias = torch.cat([projection.bias for projection in projections])
        qkv = F.linear(x, weight, bias).view(len(x), 3, self.heads, -1)
        return attend(qkv, packed, longest=self.longest).reshape(x.shape)


class Residual(nn.Module):
    """A projection added to what it started from, normalised."""

    def __init__(self, width: int, hidden: int, dropout: float):
        super().__init__()
        self.dense = nn.Linear(width, hidden)
        self.LayerNorm = nn.LayerNorm(hidden, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """Return [T, hidden]."""
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)


def pooled_layers(config: EncoderConfig, pooling: Pooling) -> int:
    """Return how many of the last layers a pooling concatenates."""
    return min(4, config.layers) if pooling.endswith("last4") else 1


def attend(qkv: Tensor, packed: Packed, *, longest: int) -> Tensor:
    """Scaled dot-product attention within documents.

    Args:
        qkv: [T, 3, heads, width]: queries, keys and values.
        packed: says where documents start.
        longest: tokens of a document up to which all attend to all; beyond, to `packed.window`.

    Returns:
        [T, heads, width].
    """
    if max(packed.lengths) > longest:
        return _attend_document_by_document(qkv, packed, longest)
    if qkv.is_cuda:
        if torch.cuda.get_device_capability(qkv.device) >= (8, 0) and qkv.dtype != torch.float32:
            return _attend_packed_on_gpu(qkv, packed, longest)
        return _attend_padded(qkv, packed)
    return _attend_document_by_document(qkv, packed, longest)


def _attend_packed_on_gpu(qkv: Tensor, packed: Packed, longest: int) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = qkv.unbind(1)
    attended = varlen_attn(q, k, v, packed.offsets, packed.offsets, longest, longest)
    assert isinstance(attended, Tensor)
    return attended


def _attend_padded(qkv: Tensor, packed: Packed) -> Tensor:
    """GPUs without variable-length kernels (V100), and fp32."""
    longest, counts = max(packed.lengths), packed.offsets.diff()
    real = torch.arange(longest, device=qkv.device) < counts[:, None]
    padded = qkv.new_zeros(len(counts), longest, *qkv.shape[1:])
    padded[real] = qkv
    q, k, v = padded.permute(2, 0, 3, 1, 4)
    attended = F.scaled_dot_product_attention(q, k, v, attn_mask=real[:, None, None, :])
    return attended.transpose(1, 2)[real]


def _attend_document_by_document(qkv: Tensor, packed: Packed, longest: int) -> Tensor:
    # A call per document costs a few microseconds; padding would cost more than half the work.
    documents = qkv.permute(1, 2, 0, 3).unsqueeze(1).split(packed.lengths, dim=3)
    attended = [
        F.scaled_dot_product_attention(*document)
        if document.shape[3] <= longest
        else attend_to_neighbours(*document, window=packed.window)
        for document in documents
    ]
    return torch.cat(attended, dim=2)[0].transpose(0, 1)


def attend_to_neighbours(q: Tensor, k: Tensor, v: Tensor, *, window: int) -> Tensor:
    """Attention of every token to [CLS] and its neighbours, and of [CLS] to all.

    Tokens are taken `window` at a time, with those before and after them: time and memory grow with
    the length of the document, not with its square.

    Args:
        q: [1, heads, tokens, width], queries of one document, [CLS] first.
        k: likewise, keys.
        v: likewise, values.
        window: tokens to each side that a token attends to.

    Returns:
        [1, heads, tokens, width].

    Source: Beltagy et al., Longformer: The Long-Document Transformer, 2020.
    """
    tokens = q.shape[2]
    own = torch.arange(window, 2 * window, device=q.device)[:, None]
    far = (own - torch.arange(3 * window, device=q.device)).abs() > window
    # What a mask of truth values is turned into, block by block.
    mask = q.new_zeros(far.shape).masked_fill(far, -torch.inf)
    attended = [F.scaled_dot_product_attention(q[:, :, :1], k, v)]
    for start in range(1, tokens, window):
        first, end = max(1, start - window), min(tokens, start + 2 * window)
        block = q[:, :, start : start + window]
        keys, values = (torch.cat([x[:, :, :1], x[:, :, first:end]], dim=2) for x in (k, v))
        near = mask[: block.shape[2], first - start + window : end - start + window]
        near = F.pad(near, (1, 0))  # [CLS] is near to all
        attended.append(F.scaled_dot_product_attention(block, keys, values, attn_mask=near))
    return torch.cat(attended, dim=2)


def initialise(module: nn.Module) -> None:
    """Draw a linear layer's weights so that its outputs vary as its inputs do."""
    if isinstance(module, nn.Linear):
        # BERT's 0.02 suits a width of 768. A narrow encoder that starts so small spends its first
        # hundred thousands of tokens on word frequencies alone.
        nn.init.normal_(module.weight, std=module.weight.shape[1] ** -0.5)
        nn.init.zeros_(module.bias)
