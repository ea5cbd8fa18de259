"""A trained ranker as a SavedModel: what serving, and scoring here, call.

The graph holds only TensorFlow's own operations, so it is served without this package and without
tensorflow-ranking. Every signature takes raw features and returns `scores`; padding gets the lowest
float. Lists may have any length, and every distinct text of a request is encoded once.
"""

from pathlib import Path

from components.ranking.batches import Documents, Sizes
from components.ranking.keras import tf, tfr
from components.ranking.model import DeepAndWide, document_specs

DENSE, EXAMPLES, FLAT = "serving_default", "tensorflow/serving/predict", "documents"
LOWEST = tf.float32.min


def export(model: DeepAndWide, sizes: Sizes, target: Path) -> None:
    """Write a SavedModel of three signatures.

    - `serving_default`: query_words int32[B, .], title_words and company_words int32[B, L, .],
      continuous float32[B, L, C], categorical int32[B, L, K], vector float32[B, d], has_vector
      float32[B], mask bool[B, L], to scores float32[B, L].
    - `tensorflow/serving/predict`: `examples`, serialized ExampleListWithContext protos whose
      context holds query_words and, unless the member has none, vector, and whose examples hold the
      other features; to scores float32[B, longest].
    - `documents`: the fields of `batches.Documents`, to scores float32[m].

    Args:
        model: trained.
        sizes: of its inputs.
        target: directory to write.
    """
    serving = _Serving(model, sizes)
    signatures = {
        DENSE: serving.dense.get_concrete_function(**_dense_inputs(sizes)),
        EXAMPLES: serving.examples.get_concrete_function(
            examples=tf.TensorSpec([None], tf.string, name="examples")
        ),
        FLAT: serving.documents.get_concrete_function(**document_specs(sizes)._asdict()),
    }
    tf.saved_model.save(serving, str(target), signatures=signatures)


class _Serving(tf.Module):
    def __init__(self, model: DeepAndWide, sizes: Sizes):
        super().__init__()
        self._model = model
        self._sizes = sizes

    @tf.function
    def dense(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": self._padded(**inputs)}

    @tf.function
    def examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        sizes = self._sizes
        query, title, company = sizes.widths
        parsed = tfr.data.parse_from_example_list(
            examples,
            context_feature_spec={
                "query_words": tf.io.FixedLenFeature([query], tf.int64, [0] * query),
                "vector": tf.io.FixedLenFeature([sizes.vector], tf.float32, [0.0] * sizes.vector),
            },
            example_feature_spec={
                "title_words": tf.io.FixedLenFeature([title], tf.int64, [0] * title),
                "company_words": tf.io.FixedLenFeature([company], tf.int64, [0] * company),
                "continuous": tf.io.FixedLenFeature(
                    [sizes.continuous], tf.float32, [0.0] * sizes.continuous
                ),
                "categorical": tf.io.FixedLenFeature(
                    [len(sizes.codes)], tf.int64, [0] * len(sizes.codes)
                ),
            },
            mask_feature_name="mask",
        )
        has_vector = tf.reduce_any(parsed["vector"] != 0, axis=1)
        inputs = {
            name: tf.cast(tensor, tf.int32) if tensor.dtype == tf.int64 else tensor
            for name, tensor in parsed.items()
        }
        return {"scores": self._padded(**inputs, has_vector=tf.cast(has_vector, tf.float32))}

    @tf.function
    def documents(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": self._model(Documents(**inputs))}

    def _padded(
        self,
        query_words: tf.Tensor,
        title_words: tf.Tensor,
        company_words: tf.Tensor,
        continuous: tf.Tensor,
        categorical: tf.Tensor,
        vector: tf.Tensor,
        has_vector: tf.Tensor,
        mask: tf.Tensor,
    ) -> tf.Tensor:
        at = tf.cast(tf.where(mask), tf.int32)
        titles, title = _distinct(tf.gather_nd(title_words, at))
        companies, company = _distinct(tf.gather_nd(company_words, at))
        queries, query = _distinct(query_words)
        scores = self._model(
            Documents(
                queries,
                titles,
                companies,
                query,
                title,
                company,
                at[:, 0],
                tf.gather_nd(continuous, at),
                tf.gather_nd(categorical, at),
                vector,
                has_vector,
            )
        )
        return tf.tensor_scatter_nd_update(tf.fill(tf.shape(mask), LOWEST), at, scores)


def _distinct(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    distinct, row = tf.raw_ops.UniqueV2(x=texts, axis=[0])
    return distinct, row


def _dense_inputs(sizes: Sizes) -> dict[str, tf.TensorSpec]:
    query, title, company = sizes.widths
    inputs = {
        "query_words": ([None, query], tf.int32),
        "title_words": ([None, None, title], tf.int32),
        "company_words": ([None, None, company], tf.int32),
        "continuous": ([None, None, sizes.continuous], tf.float32),
        "categorical": ([None, None, len(sizes.codes)], tf.int32),
        "vector": ([None, sizes.vector], tf.float32),
        "has_vector": ([None], tf.float32),
        "mask": ([None, None], tf.bool),
    }
    return {name: tf.TensorSpec(shape, dtype, name=name) for name, (shape, dtype) in inputs.items()}
