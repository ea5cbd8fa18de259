"""Predicted entities: the ranked labels of every member, as the store will hold them.

One list per surface: `any` may repeat what the member has done ("try searching for"), `explore`
leaves it out ("suggested job searches").
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp

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
        pa.field("explore_labels", pa.list_(pa.int32()), nullable=False),
        pa.field("explore_scores", pa.list_(pa.float32()), nullable=False),
    ]
)
_MEMBERS_AT_ONCE = 4096


def predict_entities(
    vectors: Path, slices: dict[str, Slice], past: sp.csr_matrix, target: Path, *, k: int
) -> int:
    """Write the k best labels of every member on each surface, best first; all or nothing.

    A member without a vector (nothing to read in the trail) has no entities.

    Args:
        vectors: directory written by `embed_members`.
        slices: the model of each surface, `any` and `explore`.
        past: [members, labels], non-zero where the member's trail holds the label.
        target: Parquet file to write, of ENTITIES_SCHEMA.
        k: labels per member and surface.

    Returns:
        The number of members.

    Raises:
        ExtremeError: vectors, models and past do not fit together.
    """
    content = MemberVectors.open(vectors)
    members = content.member_ids
    for model in slices.values():
        if content.vectors.shape[1] != model.dimension:
            raise ExtremeError(
                f"{vectors}: vectors have {content.vectors.shape[1]} dimensions, the model takes "
                f"{model.dimension}"
            )
        if past.shape != (len(members), model.label_count):
            raise ExtremeError(
                f"{vectors}: {len(members)} members and {model.label_count} labels, but the past "
                f"is of {past.shape[0]} and {past.shape[1]}"
            )
    with (
        whole_file(target) as aside,
        pq.ParquetWriter(aside, ENTITIES_SCHEMA) as writer,
        progress("predict", total=len(members)) as bar,
    ):
        for start in range(0, len(members), _MEMBERS_AT_ONCE):
            block = np.asarray(content.vectors[start : start + _MEMBERS_AT_ONCE])
            columns = [members.slice(start, len(block)).combine_chunks()]
            done = past[start : start + len(block)]
            for surface, exclude in (("any", None), ("explore", done)):
                model = slices[surface]
                found = model.predict(block, min(k, model.label_count), exclude=exclude)
                columns += _lists(*found, known=np.any(block != 0, axis=1))
            writer.write_table(pa.table(columns, schema=ENTITIES_SCHEMA))
            bar.advance(len(block))
    return len(members)


def _lists(labels: np.ndarray, scores: np.ndarray, *, known: np.ndarray) -> list[pa.ListArray]:
    kept = (labels >= 0) & known[:, None]
    offsets = pa.array(np.concatenate([[0], np.cumsum(kept.sum(axis=1))]), pa.int32())
    return [
        pa.ListArray.from_arrays(offsets, pa.array(labels[kept], pa.int32())),
        pa.ListArray.from_arrays(offsets, pa.array(scores[kept], pa.float32())),
    ]
