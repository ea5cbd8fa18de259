"""How much of the truth the search for similar members finds, and how fast, at growing effort."""

import json
import logging
import tempfile
from pathlib import Path

import numpy as np

from components.files import whole_directory
from components.neighbours.build import build_from
from components.neighbours.config import IndexKind, NeighboursConfig
from components.neighbours.curve import curve
from components.neighbours.index import Neighbours

MEASURED = "neighbours.json"
WIDTHS: dict[IndexKind, list[int]] = {
    "hnsw": [10, 20, 50, 100, 200, 500, 1000],
    "clusters": [1, 2, 5, 10, 20, 50],
}
PUBLISHED = {"hnsw_links": 48, "hnsw_build_width": 32, "head": 0}
"""The paper's graph (section 5.4): M, efConstruction, and vectors compared in full."""
MOST_MEMBERS, QUERIES = 20_000, 500

logger = logging.getLogger(__name__)


def measure_neighbours(
    index: Path, target: Path, config: NeighboursConfig, *, seed: int
) -> dict[str, list[dict]]:
    """Search for members who are not indexed among those who are, in every way there is.

    Args:
        index: directory written by `build_index`.
        target: directory to write `neighbours.json` into; all or nothing.
        config: of the index; one shard is measured.
        seed: of the draw of members.

    Returns:
        What is written, the table `neighbours`: index, width (efSearch of the graph, clusters
        looked into, None when everyone is compared), recall at 10, queries per CPU-second.
    """
    everyone = Neighbours.open(index)
    drawn = np.random.default_rng(seed).permutation(len(everyone))[: MOST_MEMBERS + QUERIES]
    asked = drawn[: min(QUERIES, len(drawn) // 2)]
    indexed = np.sort(drawn[len(asked) :])
    rows = []
    for kind, widths in WIDTHS.items():
        own = PUBLISHED if kind == "hnsw" else {}
        settings = config.model_copy(update={"index": kind, "shards": 1} | own)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder, "index")
            build_from(
                everyone.member_ids.take(indexed),
                everyone.vectors(indexed),
                everyone.encoder,
                place,
                settings,
                seed=seed,
            )
            rows += curve(Neighbours.open(place), everyone.vectors(asked), widths)
    found = {"neighbours": [row for at, row in enumerate(rows) if row["width"] or at == 0]}
    with whole_directory(target) as directory:
        (directory / MEASURED).write_text(json.dumps(found, indent=1) + "\n")
    logger.info("neighbours measured members=%d queries=%d", len(indexed), len(asked))
    return found
