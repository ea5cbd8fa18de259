"""A ranker of news: two vectors put together, then fully connected layers.

u and v are the frozen vectors of a member's history and of an item. A layer over a concatenation is
a sum of layers over its parts, and those of u alone and of v alone are computed once for each
member and item of a batch instead of once for each pair; the function is the same.

Source: paper, Appendix A and Table 9.
"""

from pathlib import Path

import numpy as np

from components.news.config import Combination, NewsConfig
from components.news.lists import Pairs
from components.ranking.batches import Scale
from components.ranking.keras import tf
from components.ranking.model import Linear, Noises, Normalise

CLIP = 5.0  # deviations


class PairScorer(tf.Module):
    """Scores pairs of a member and an item; higher ranks first, and its sigmoid is P(click).

    Vectors are read raw, brought to mean 0 and deviation 1, and a vector of zeros, which stands for
    a member without history or an unknown item, becomes the mean.

    Args:
        config: widths and dropout.
        combination: of the vectors.
        users: scale of u.
        items: scale of v.
        seed: of the first weights.
    """

    def __init__(
        self, config: NewsConfig, combination: Combination, users: Scale, items: Scale, *, seed: int
    ):
        super().__init__()
        random = np.random.default_rng(seed)
        self.dimension = len(users.mean)
        self._parts = combination.split(",")
        self._users, self._items = Normalise(users, CLIP), Normalise(items, CLIP)
        self._dropout = config.dropout
        first, *others = config.units
        gain = 2 / len(self._parts)
        self._first = [
            Linear(self.dimension, first, random, gain=gain, bias=part is self._parts[-1])
            for part in self._parts
        ]
        before = (first, *others[:-1])
        self._others = [
            Linear(n, m, random, gain=2.0) for n, m in zip(before, others, strict=False)
        ]
        self._score = Linear(config.units[-1], 1, random)

    def __call__(self, pairs: Pairs, *, noise: tf.Tensor | None = None) -> tf.Tensor:
        """Return float32[m], the score of each pair.

        Args:
            pairs: tensors.
            noise: int32[2], seed of this step's dropout; None when not training.
        """
        noises = Noises(noise)
        u, v = _known(pairs.users, self._users), _known(pairs.items, self._items)
        x = tf.add_n(
            [
                self._part(part, layer, u, v, pairs)
                for part, layer in zip(self._parts, self._first, strict=True)
            ]
        )
        x = noises.drop(tf.nn.relu(x), self._dropout)
        for layer in self._others:
            x = noises.drop(tf.nn.relu(layer(x)), self._dropout)
        return self._score(x)[:, 0]

    def _part(
        self, part: str, layer: Linear, u: tf.Tensor, v: tf.Tensor, pairs: Pairs
    ) -> tf.Tensor:
        if part == "u":
            return tf.gather(layer(u), pairs.user)
        if part == "v":
            return tf.gather(layer(v), pairs.item)
        us, vs = tf.gather(u, pairs.user), tf.gather(v, pairs.item)
        return layer(us * vs if part == "u*v" else tf.abs(us - vs))


def pair_specs(dimension: int) -> Pairs:
    """Return the TensorSpecs of pairs; any number of members, items and pairs."""
    return Pairs(
        users=tf.TensorSpec([None, dimension], tf.float32, name="users"),
        items=tf.TensorSpec([None, dimension], tf.float32, name="items"),
        user=tf.TensorSpec([None], tf.int32, name="user"),
        item=tf.TensorSpec([None], tf.int32, name="item"),
    )


def export(model: PairScorer, target: Path) -> None:
    """Write a SavedModel whose default signature takes the fields of `Pairs` to `scores`."""

    @tf.function
    def score(**pairs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": model(Pairs(**pairs))}

    specs = pair_specs(model.dimension)._asdict()
    tf.saved_model.save(model, str(target), signatures=score.get_concrete_function(**specs))


def _known(vectors: tf.Tensor, normalise: Normalise) -> tf.Tensor:
    known = tf.reduce_any(vectors != 0, axis=1, keepdims=True)
    return tf.where(known, normalise(vectors), 0.0)
