"""What postings are labelled with where a vertical's labels are their attributes, such as news.

The feed's postings have a column `labels` then. It goes with the sessions, so that every reader of
a trail finds the labels of what was read.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.activity.schema import ActivityError
from components.files import whole_file

POSTING_LABELS = "posting_labels.arrow"
SCHEMA = pa.schema(
    [pa.field("item_id", pa.string(), nullable=False), pa.field("labels", pa.list_(pa.string()))]
)


def carry_posting_labels(feed: Path, sessions: Path) -> None:
    """Write the labels of a feed's postings beside its sessions; nothing if they have none.

    Args:
        feed: directory with `postings/`, or without.
        sessions: directory of session parts.
    """
    parts = sorted((feed / "postings").glob("*.parquet"))
    if not parts or "labels" not in pq.read_schema(parts[0]).names:
        return
    with (
        whole_file(sessions / POSTING_LABELS) as aside,
        pa.ipc.new_file(str(aside), SCHEMA) as out,
    ):
        for part in parts:
            out.write_table(pq.read_table(part, columns=SCHEMA.names).cast(SCHEMA))


def read_posting_labels(sessions: Path) -> pa.Table:
    """Read item_id and labels of the postings; without rows where the feed had no labels.

    Raises:
        ActivityError: the file is damaged; names it.
    """
    path = sessions / POSTING_LABELS
    if not path.exists():
        return SCHEMA.empty_table()
    try:
        with pa.OSFile(str(path)) as stored:
            return pa.ipc.open_file(stored).read_all()
    except (OSError, pa.ArrowException) as error:
        raise ActivityError(f"{path}: cannot be read ({error})") from error
