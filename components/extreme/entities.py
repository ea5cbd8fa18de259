"""Predicted entities: the ranked labels of every member, as the store will hold them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.encoder.vectors import MemberVectors
from components.extreme.errors import ExtremeError
from components.extreme.slice import Slice
from components.files import whole_file
from components.progress import progress

ENTITIES_SCHEMA = pa.schema(
    [
        pa.field("member_id", pa.string(), nullable=False),
        pa.field("labels", pa.list_(pa.int32()), nullable=False),
        pa.field("scores", pa.list_(pa.float32()), nullable=False),
    ]
)
_MEMBERS_AT_ONCE = 4096


def predict_entities(vectors: Path, model: Slice, target: Path, *, k: int) -> int:
    """Write the k best labels of every member, best first; all or nothing.

    A member without a vector (nothing to read in the trail) has no entities.

    Args:
        vectors: directory written by `embed_members`.
        model: predicts labels from vectors.
        target: Parquet file to write, of ENTITIES_SCHEMA.
        k: labels per member.

    Returns:
        The number of members.

    Raises:
        ExtremeError: vectors and model have different dimensions.
    """
    content = MemberVectors.open(vectors)
    if content.vectors.shape[1] != model.dimension:
        raise ExtremeError(
            f"{vectors}: vectors have {content.vectors.shape[1]} dimensions, the model takes "
            f"{model.dimension}"
        )
    members = content.member_ids
    k = min(k, model.label_count)
    with (
        whole_file(target) as aside,
        pq.ParquetWriter(aside, ENTITIES_SCHEMA) as writer,
        progress("predict", total=len(members)) as bar,
    ):
        for start in range(0, len(members), _MEMBERS_AT_ONCE):
            block = np.asarray(content.vectors[start : start + _MEMBERS_AT_ONCE])
            labels, scores = model.predict(block, k)
            labels[~block.any(axis=1)] = -1
            rows = members.slice(start, len(block))
            writer.write_table(_table(rows, labels, scores))
            bar.advance(len(block))
    return len(members)


def _table(members: pa.ChunkedArray, labels: np.ndarray, scores: np.ndarray) -> pa.Table:
    known = labels >= 0
    offsets = pa.array(np.concatenate([[0], np.cumsum(known.sum(axis=1))]), pa.int32())
    columns = [
        members.combine_chunks(),
        pa.ListArray.from_arrays(offsets, pa.array(labels[known], pa.int32())),
        pa.ListArray.from_arrays(offsets, pa.array(scores[known], pa.float32())),
    ]
    return pa.table(columns, schema=ENTITIES_SCHEMA)
