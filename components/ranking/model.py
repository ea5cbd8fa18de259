"""The deep and wide ranker, with or without the tower that reads a member's activity vector.

Deep: one Transformer layer embeds query, job title and company, each by itself; fully connected
layers with batch normalisation and ReLU follow. Wide: continuous and one-hot categorical features
through one tanh layer. Tower: the frozen activity vector through fully connected layers of its own.

The three are concatenated, and at least one hidden layer follows. It has to: the tower depends on
the member alone, so under a linear layer it would add one constant to all documents of a list, and
neither the order nor the softmax loss would ever see it. Only past a nonlinearity can what a member
wants weigh a document's features.

Source: Kota et al., section 5.3; Vaswani et al., Attention is all you need, for the layer.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from components.ranking.batches import Batch, Documents, Scale, Sizes
from components.ranking.config import RankerConfig
from components.ranking.keras import tf

EPSILON = 1e-5


class DeepAndWide(tf.Module):
    """Scores documents; higher ranks first.

    Args:
        config: widths and regularisation.
        sizes: of the data.
        tower: whether the activity vector is read.
        features: scale of the continuous features, [C].
        vectors: scale of the activity vector, [d].
        words: float32[words, word_dimension] to start from; drawn when None.
        seed: of the first weights.
    """

    def __init__(
        self,
        config: RankerConfig,
        sizes: Sizes,
        *,
        tower: bool,
        features: Scale,
        vectors: Scale,
        words: NDArray[np.float32] | None,
        seed: int,
    ):
        super().__init__()
        random = np.random.default_rng(seed)
        self._config = config
        self._features = Normalise(features, config.clip)
        self._text = TextEncoder(config, sizes, words, random)
        drop = config.dropout, config.batch_norm_momentum
        self._deep = Stack(3 * config.word_dimension, config.deep_units, *drop, random)
        self._wide = Wide(config, sizes, random)
        document = self._deep.width + config.wide_units
        self._tower: Tower | None = None
        self._project: Linear | None = None
        width = document
        if tower:
            self._tower = Tower(config, sizes.vector, vectors, random)
            width += self._tower.width
            if config.meeting == "product":
                offered = 2 * config.word_dimension + config.wide_units
                self._project = Linear(offered, self._tower.width, random)
                width += self._tower.width
        self._fusion = Stack(width, config.fusion_units, *drop, random)
        self._score = Linear(self._fusion.width, 1, random)

    @property
    def tower(self) -> bool:
        """Whether the activity vector is read."""
        return self._tower is not None

    def __call__(self, documents: Documents, *, noise: tf.Tensor | None = None) -> tf.Tensor:
        """Return float32[m], the score of each document.

        Args:
            documents: tensors.
            noise: int32[2], seed of this step's dropout; None when not training.
        """
        d, noises = documents, Noises(noise)
        texts = (
            tf.gather(self._text(d.queries), tf.gather(d.query, d.owner)),
            tf.gather(self._text(d.titles), d.title),
            tf.gather(self._text(d.companies), d.company),
        )
        deep = self._deep(tf.concat(texts, 1), noises)
        wide = self._wide(self._features(d.continuous), d.categorical, noises)
        parts = [deep, wide]
        if self._tower is not None:
            member = tf.gather(self._tower(d.vector, d.has_vector, noises), d.owner)
            parts.append(member)
            if self._project is not None:
                parts.append(member * self._project(tf.concat([*texts[1:], wide], 1)))
        return self._score(self._fusion(tf.concat(parts, 1), noises))[:, 0]


def document_specs(sizes: Sizes) -> Documents:
    """Return the TensorSpecs of documents; any number of lists, documents and texts."""
    shapes = Documents(
        queries=[None, None],
        titles=[None, None],
        companies=[None, None],
        query=[None],
        title=[None],
        company=[None],
        owner=[None],
        continuous=[None, sizes.continuous],
        categorical=[None, len(sizes.codes)],
        vector=[None, sizes.vector],
        has_vector=[None],
    )
    real = {"continuous", "vector", "has_vector"}
    return Documents(
        **{
            name: tf.TensorSpec(shape, tf.float32 if name in real else tf.int32, name=name)
            for name, shape in shapes._asdict().items()
        }
    )


def batch_specs(sizes: Sizes) -> Batch:
    """Return the TensorSpecs of a training batch."""
    gains = tf.TensorSpec([None, None], tf.float32)
    return Batch(document_specs(sizes), tf.TensorSpec([None], tf.int32), gains)


class TextEncoder(tf.Module):
    """One Transformer layer over the words of a text, then their mean; zeros without words."""

    def __init__(
        self,
        config: RankerConfig,
        sizes: Sizes,
        words: NDArray[np.float32] | None,
        random: np.random.Generator,
    ):
        super().__init__()
        width = config.word_dimension
        drawn = _normal(random, (sizes.words, width), width**-0.5)
        self._heads = config.heads
        self._words = _variable(drawn if words is None else words)
        self._positions = _variable(_normal(random, (max(sizes.widths), width), 0.1 * width**-0.5))
        self._attended = Linear(width, 3 * width, random)
        self._mixed = Linear(width, width, random)
        self._first, self._second = LayerNorm(width), LayerNorm(width)
        self._wider = Linear(width, config.feed_forward, random)
        self._narrower = Linear(config.feed_forward, width, random)

    def __call__(self, words: tf.Tensor) -> tf.Tensor:
        """Return float32[n, width] of int32[n, words].

        Only attention computes padding: all else is done on the real words, end to end.
        """
        at = tf.cast(tf.where(words > 0), tf.int32)
        x = tf.gather(self._words, tf.gather_nd(words, at)) + tf.gather(self._positions, at[:, 1])
        x = self._first(x + self._mixed(self._attend(x, at, words)))
        x = self._second(x + self._narrower(tf.nn.relu(self._wider(x))))
        total = tf.math.unsorted_segment_sum(x, at[:, 0], tf.shape(words)[0])
        real = tf.reduce_sum(tf.cast(words > 0, tf.float32), 1, keepdims=True)
        return total / tf.maximum(real, 1)

    def _attend(self, x: tf.Tensor, at: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
        count, length = tf.shape(words)[0], tf.shape(words)[1]
        width, heads = x.shape[-1], self._heads
        padded = tf.scatter_nd(at, self._attended(x), [count, length, 3 * width])
        split = tf.reshape(padded, [count, length, 3, heads, width // heads])
        query, key, value = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]))
        likeness = tf.matmul(query, key, transpose_b=True) * (width // heads) ** -0.5
        likeness += tf.cast(words <= 0, tf.float32)[:, None, None, :] * -1e9
        mixed = tf.transpose(tf.matmul(tf.nn.softmax(likeness), value), [0, 2, 1, 3])
        return tf.gather_nd(tf.reshape(mixed, [count, length, width]), at)


class Wide(tf.Module):
    """tanh of a linear layer over continuous features and one-hot categorical ones."""

    def __init__(self, config: RankerConfig, sizes: Sizes, random: np.random.Generator):
        super().__init__()
        self._hidden, units = config.drop_codes, config.wide_units
        inputs = sizes.continuous + len(sizes.codes)
        self._linear = Linear(sizes.continuous, units, random)
        self._codes = _variable(_normal(random, (sum(sizes.codes), units), inputs**-0.5))
        self._limits = tf.constant(sizes.codes, tf.int32, [len(sizes.codes)])
        starts = np.cumsum([0, *sizes.codes])[:-1]
        self._starts = tf.constant(starts, tf.int32, [len(sizes.codes)])

    def __call__(
        self, continuous: tf.Tensor, categorical: tf.Tensor, noises: "Noises"
    ) -> tf.Tensor:
        """Return float32[m, units]; a code outside its range counts as unknown."""
        known = (categorical >= 0) & (categorical < self._limits)
        known &= noises.kept(tf.shape(categorical), self._hidden)
        codes = tf.where(known, categorical, 0) + self._starts
        chosen = tf.gather(self._codes, codes)
        return tf.tanh(self._linear(continuous) + tf.reduce_sum(chosen, 1))


class Tower(tf.Module):
    """The activity vector through layers of its own; a learnt vector where there is none."""

    def __init__(
        self, config: RankerConfig, dimension: int, scale: Scale, random: np.random.Generator
    ):
        super().__init__()
        self._normalise = Normalise(scale, config.clip)
        drop = config.tower_dropout, config.batch_norm_momentum
        self._stack = Stack(dimension, config.tower_units, *drop, random)
        self._cold = _variable(np.zeros(self._stack.width, np.float32))
        self.width = self._stack.width

    def __call__(self, vector: tf.Tensor, has_vector: tf.Tensor, noises: "Noises") -> tf.Tensor:
        """Return float32[b, width]."""
        known = has_vector[:, None]
        towered = self._stack(self._normalise(vector) * known, noises, weights=known)
        return towered * known + self._cold * (1 - known)


class Stack(tf.Module):
    """Fully connected layers, each with batch normalisation, ReLU and dropout."""

    def __init__(
        self,
        inputs: int,
        units: Sequence[int],
        dropout: float,
        momentum: float,
        random: np.random.Generator,
    ):
        super().__init__()
        before = [inputs, *units[:-1]]
        self._layers = [
            Linear(n, m, random, gain=2.0, bias=False) for n, m in zip(before, units, strict=True)
        ]
        self._norms = [BatchNorm(n, momentum) for n in units]
        self._dropout = dropout
        self.width = units[-1] if units else inputs

    def __call__(
        self, x: tf.Tensor, noises: "Noises", *, weights: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Return float32[n, width]; rows of weight 0 take no part in normalisation."""
        for layer, norm in zip(self._layers, self._norms, strict=True):
            x = tf.nn.relu(norm(layer(x), training=noises.training, weights=weights))
            x = noises.drop(x, self._dropout)
        return x


class Linear(tf.Module):
    """A fully connected layer."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        random: np.random.Generator,
        *,
        gain: float = 1.0,
        bias: bool = True,
    ):
        super().__init__()
        deviation = (gain / max(1, inputs)) ** 0.5
        self._weight = _variable(_normal(random, (inputs, outputs), deviation))
        self._bias = _variable(np.zeros(outputs, np.float32)) if bias else None

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Return float32[n, outputs]."""
        product = tf.matmul(x, self._weight)
        return product if self._bias is None else tf.nn.bias_add(product, self._bias)


class BatchNorm(tf.Module):
    """Batch normalisation whose rows may weigh nothing.

    Keras's layer would count members without a vector, and divides by 0 where no row counts.
    """

    def __init__(self, width: int, momentum: float):
        super().__init__()
        self._scale = _variable(np.ones(width, np.float32))
        self._shift = _variable(np.zeros(width, np.float32))
        self._momentum = momentum
        self._mean = _average(np.zeros(width, np.float32))
        self._variance = _average(np.ones(width, np.float32))

    def __call__(
        self, x: tf.Tensor, *, training: bool, weights: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Return float32[n, width]."""
        if not training:
            mean, variance = tf.identity(self._mean), tf.identity(self._variance)
            return self._normalised(x, mean, variance)
        if weights is None:
            mean, variance = tf.nn.moments(x, [0])
            pace = 1 - self._momentum
        else:
            rows = tf.reduce_sum(weights)
            mean = tf.reduce_sum(x * weights, 0) / tf.maximum(rows, 1)
            variance = tf.reduce_sum(weights * (x - mean) ** 2, 0) / tf.maximum(rows, 1)
            pace = tf.where(rows > 0, 1 - self._momentum, 0.0)
        self._mean.assign_sub(pace * (self._mean - mean))
        self._variance.assign_sub(pace * (self._variance - variance))
        return self._normalised(x, mean, variance)

    def _normalised(self, x: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor) -> tf.Tensor:
        slope = self._scale * tf.math.rsqrt(variance + EPSILON)
        return x * slope + (self._shift - mean * slope)


class LayerNorm(tf.Module):
    """Layer normalisation over the last axis."""

    def __init__(self, width: int):
        super().__init__()
        self._scale = _variable(np.ones(width, np.float32))
        self._shift = _variable(np.zeros(width, np.float32))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Return float32[n, width]."""
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return (x - mean) * tf.math.rsqrt(variance + EPSILON) * self._scale + self._shift


class Normalise(tf.Module):
    """Raw inputs to mean 0 and deviation 1 on the training side, so that serving sends them raw."""

    def __init__(self, scale: Scale, clip: float):
        super().__init__()
        deviation = np.where(scale.deviation > 0, scale.deviation, 1)
        self._mean = tf.constant(scale.mean, tf.float32)
        self._inverse = tf.constant(1 / deviation, tf.float32)
        self._clip = clip

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Return float32[n, width], within `clip` of 0."""
        return tf.clip_by_value((x - self._mean) * self._inverse, -self._clip, self._clip)


class Noises:
    """Dropout that is a pure function of a step's seed and of the layer it is drawn for."""

    def __init__(self, seed: tf.Tensor | None):
        self._seed = seed
        self._drawn = 0

    @property
    def training(self) -> bool:
        """Whether there is noise at all."""
        return self._seed is not None

    def drop(self, x: tf.Tensor, share: float) -> tf.Tensor:
        """Return x with a share of its values set to 0 and the others enlarged."""
        if self._seed is None or share == 0:
            return x
        return tf.nn.experimental.stateless_dropout(x, share, self._next())

    def kept(self, shape: tf.Tensor, share: float) -> tf.Tensor:
        """Return bool[shape], all but a share of it true; all of it when not training."""
        if self._seed is None or share == 0:
            return tf.fill(shape, True)
        return tf.random.stateless_uniform(shape, self._next()) >= share

    def _next(self) -> tf.Tensor:
        assert self._seed is not None
        self._drawn += 1
        return tf.stack([self._seed[0] + self._drawn, self._seed[1]])


def _normal(
    random: np.random.Generator, shape: tuple[int, ...], deviation: float
) -> NDArray[np.float32]:
    return (random.standard_normal(shape) * deviation).astype(np.float32)


def _variable(value: NDArray[np.float32]) -> tf.Variable:
    return tf.Variable(value, dtype=tf.float32)


def _average(value: NDArray[np.float32]) -> tf.Variable:
    """Each replica keeps its own average; they are averaged when read."""
    return tf.Variable(
        value,
        trainable=False,
        dtype=tf.float32,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.MEAN,
    )
