"""What is learnt on top of the encoder: masked words, the next segment, a member's labels.

Scores of large vocabularies and label sets are computed in slices whose gradient is taken at once,
so that neither [masked, vocabulary] nor [documents, labels] is ever held whole.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components.encoder.config import EncoderConfig
from components.encoder.model import LAYER_NORM_EPS, Bert, Pooler, initialise

SCORES_AT_ONCE = 1 << 24


class MaskedLanguageModel(nn.Module):
    """Encoder with transformers' pre-training heads; the decoder shares the word embeddings.

    Args:
        bert: the encoder.
        next_sentence: whether there is a head for the next segment.
    """

    def __init__(self, bert: Bert, *, next_sentence: bool = False):
        super().__init__()
        vocabulary = bert.embeddings.word_embeddings.num_embeddings
        self.bert = bert
        self.cls = PretrainingHeads(bert.config, vocabulary)
        if next_sentence:
            self.bert.pooler = Pooler(bert.config)
            self.cls.seq_relationship = nn.Linear(bert.config.hidden, 2)
            self.cls.seq_relationship.apply(initialise)

    def masked_loss(self, hidden: Tensor, masked: Tensor, words: Tensor) -> Tensor:
        """Mean cross-entropy of the masked tokens.

        Args:
            hidden: [T, hidden], the last layer.
            masked: int64[M], positions of predicted tokens.
            words: int64[M], their ids.
        """
        transformed = self.cls.predictions.transform(hidden[masked])
        weight = self.bert.embeddings.word_embeddings.weight
        bias = self.cls.predictions.bias
        return SlicedCrossEntropy.apply(transformed, weight, bias, words)

    def next_sentence_loss(self, hidden: Tensor, starts: Tensor, random: Tensor) -> Tensor:
        """Mean cross-entropy of "the second segment is of another document".

        Args:
            hidden: [T, hidden], the last layer.
            starts: int64[B], positions of [CLS].
            random: int64[B], 1 where the second segment is random, 0 where it follows.
        """
        assert self.bert.pooler is not None
        assert self.cls.seq_relationship is not None
        scores = self.cls.seq_relationship(self.bert.pooler(hidden[starts]))
        return F.cross_entropy(scores.float(), random)


class PretrainingHeads(nn.Module):
    """What pre-training learns on top of the encoder."""

    seq_relationship: nn.Linear | None

    def __init__(self, config: EncoderConfig, vocabulary: int):
        super().__init__()
        self.predictions = Predictions(config, vocabulary)
        self.seq_relationship = None


class Predictions(nn.Module):
    """The masked-word head, but for the decoder's weights."""

    def __init__(self, config: EncoderConfig, vocabulary: int):
        super().__init__()
        self.transform = Transform(config)
        self.bias = nn.Parameter(torch.zeros(vocabulary))


class Transform(nn.Module):
    """Dense, GELU and normalisation before the decoder."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden, config.hidden)
        self.LayerNorm = nn.LayerNorm(config.hidden, eps=LAYER_NORM_EPS)
        self.dense.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Return [M, hidden]."""
        return self.LayerNorm(F.gelu(self.dense(x)))


class LabelLayer(nn.Module):
    """One sigmoid unit per label over the pooled vector (paper, section 3.4).

    Args:
        dimension: of the pooled vector.
        prior: float[L], share of the examples that have a label; biases start from its logit, so
            that training starts from popularity instead of spending its first epoch on it.
        dropout: share of features dropped while training.
        chunk: labels whose scores are held at once.
    """

    def __init__(self, dimension: int, prior: Tensor, *, dropout: float, chunk: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(len(prior), dimension))
        self.bias = nn.Parameter(torch.logit(prior.float().clamp(1e-7, 0.5)))
        self.scale = nn.LayerNorm(dimension, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)
        self.chunk = chunk

    def features(self, pooled: Tensor) -> Tensor:
        """Return the normalised vector that scores are linear in, [B, d]."""
        return self.dropout(self.scale(pooled))

    def forward(self, pooled: Tensor) -> Tensor:
        """Return scores before the sigmoid, [B, L]."""
        return F.linear(self.features(pooled), self.weight, self.bias)

    def loss(self, pooled: Tensor, positive: Tensor) -> Tensor:
        """Binary cross-entropy summed over all labels, mean over the documents.

        Args:
            pooled: [B, d].
            positive: int64[2, P], (document, label) of every positive.
        """
        return SlicedBinaryCrossEntropy.apply(
            self.features(pooled), self.weight, self.bias, positive, None, self.chunk
        )

    def shortlist_loss(self, pooled: Tensor, positive: Tensor, sampled: Tensor) -> Tensor:
        """Unbiased estimate of `loss` from the batch's own labels and a uniform sample of others.

        Args:
            pooled: [B, d].
            positive: int64[2, P], (document, label) of every positive.
            sampled: int64[S], labels drawn uniformly.
        """
        own = positive[1].unique()
        others = sampled[~torch.isin(sampled, own)].unique()
        labels = torch.cat([own, others])
        place = torch.searchsorted(own, positive[1])
        weight = torch.ones(len(labels), device=pooled.device)
        weight[len(own) :] = (len(self.bias) - len(own)) / max(1, len(others))
        return SlicedBinaryCrossEntropy.apply(
            self.features(pooled),
            self.weight[labels],
            self.bias[labels],
            torch.stack([positive[0], place]),
            weight,
            self.chunk,
        )


class SlicedCrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of `hidden @ weight.T + bias`, a slice of rows at a time.

    The time goes into passes over the scores, so there are as few as can be: the softmax is never
    divided out, its divisor is applied to the narrow factors of the products instead, and the
    slices share their memory.
    """

    @staticmethod
    def forward(ctx, hidden, weight, bias, target):
        """Return the loss; its gradient is computed along."""
        dtype = _product_dtype(hidden)
        weight_cast = weight.to(dtype)
        grad_hidden = torch.empty_like(hidden)
        grad_weight, grad_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        total = torch.zeros((), device=hidden.device)
        rows = max(1, min(len(hidden), SCORES_AT_ONCE // len(weight)))
        products = torch.empty(rows, len(weight), dtype=dtype, device=hidden.device)
        scores = (
            products if dtype == torch.float32 else torch.empty_like(products, dtype=torch.float32)
        )
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, len(hidden), rows):
                x = hidden[start : start + rows].float()
                wanted = target[start : start + rows]
                product, score = products[: len(x)], scores[: len(x)]
                torch.mm(x.to(dtype), weight_cast.T, out=product)
                torch.add(product, bias, out=score)
                total -= score.gather(1, wanted[:, None]).sum()
                highest = score.amax(1, keepdim=True)
                mass = score.sub_(highest).exp_().sum(1, keepdim=True)
                total += (mass.log() + highest).sum()
                grad_bias += torch.mv(score.T, mass.reciprocal()[:, 0])
                product.copy_(score)
                grad_x = (product @ weight_cast).float() / mass
                grad_hidden[start : start + rows] = grad_x - weight[wanted]
                _accumulate_product(grad_weight, product.T, (x / mass).to(dtype))
                grad_weight.index_add_(0, wanted, x.to(weight.dtype), alpha=-1)
                grad_bias -= torch.bincount(wanted, minlength=len(bias))
        ctx.gradients = grad_hidden, grad_weight, grad_bias
        ctx.count = max(1, len(hidden))
        return total / ctx.count

    @staticmethod
    def backward(ctx, grad):
        """Scale the gradients found in `forward`."""
        scale = grad / ctx.count
        return *(gradient.mul_(scale) for gradient in ctx.gradients), None


class SlicedBinaryCrossEntropy(torch.autograd.Function):
    """Binary cross-entropy of `features @ weight.T + bias`, a slice of labels at a time."""

    @staticmethod
    def forward(ctx, features, weight, bias, positive, label_weight, chunk):
        """Return the loss, summed over labels, mean over rows; its gradient is computed along."""
        dtype = _product_dtype(features)
        x = features.to(dtype)
        grad_features = torch.zeros(features.shape, device=features.device)
        grad_weight, grad_bias = torch.empty_like(weight), torch.empty_like(bias)
        total = torch.zeros((), device=features.device)
        order = positive[1].argsort()
        rows, labels = positive[0][order], positive[1][order]
        bounds = torch.arange(0, len(weight) + chunk, chunk, device=labels.device)
        cuts = torch.searchsorted(labels, bounds).tolist()
        with torch.autocast(features.device.type, enabled=False):
            for number, start in enumerate(range(0, len(weight), chunk)):
                part = slice(start, start + chunk)
                own = slice(cuts[number], cuts[number + 1])
                weight_cast = weight[part].to(dtype)
                scores = torch.addmm(bias[part].to(dtype), x, weight_cast.T).float()
                loss = F.softplus(scores)
                if label_weight is not None:
                    loss *= label_weight[part]
                total += loss.sum() - scores[rows[own], labels[own] - start].sum()
                gradient = scores.sigmoid_()
                if label_weight is not None:
                    gradient *= label_weight[part]
                gradient[rows[own], labels[own] - start] -= 1
                grad_bias[part] = gradient.sum(0)
                gradient = gradient.to(dtype)
                grad_features += (gradient @ weight_cast).float()
                grad_weight[part] = (gradient.T @ x).to(weight.dtype)
        ctx.save_for_backward(grad_features.to(features.dtype), grad_weight, grad_bias)
        ctx.count = len(features)
        return total / len(features)

    @staticmethod
    def backward(ctx, grad):
        """Scale the gradients found in `forward`."""
        scale = grad / ctx.count
        features, weight, bias = ctx.saved_tensors
        return features * scale, weight * scale, bias * scale, None, None, None


def _product_dtype(x: Tensor) -> torch.dtype:
    if torch.is_autocast_enabled(x.device.type):
        return torch.get_autocast_dtype(x.device.type)
    return x.dtype


def _accumulate_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += (left @ right).to(total.dtype)
