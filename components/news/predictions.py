"""The file that the MIND competition takes: one line per impression, `ID [rank,rank,...]`."""

import json
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.news.errors import NewsError

TEXT, ZIPPED = "prediction.txt", "prediction.zip"


def write_predictions(
    directory: Path, ids: NDArray[np.int64], ranks: NDArray[np.int32], offsets: NDArray[np.int64]
) -> None:
    """Write `prediction.txt`, and the same in `prediction.zip`, which is what is handed in.

    Args:
        directory: that exists.
        ids: int64[n], impressions in the order of `behaviors.tsv`.
        ranks: int32[m], of the candidates in the order in which they were listed, from 1.
        offsets: int64[n + 1].
    """
    with (directory / TEXT).open("w") as out:
        for number, impression in enumerate(ids):
            own = ranks[offsets[number] : offsets[number + 1]]
            out.write(f"{impression} [{','.join(map(str, own))}]\n")
    member = zipfile.ZipInfo(TEXT)  # has no time of its own, so equal ranks make equal files
    member.compress_type = zipfile.ZIP_DEFLATED
    with (
        zipfile.ZipFile(directory / ZIPPED, "w") as archive,
        archive.open(member, "w", force_zip64=True) as inside,
        (directory / TEXT).open("rb") as text,
    ):
        while block := text.read(1 << 20):
            inside.write(block)


def read_predictions(file: Path) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Read impressions, ranks and offsets from `prediction.txt` as the official script does.

    Raises:
        NewsError: a line is no impression and its ranks, or they are not 1 to their number.
    """
    ids, ranks, sizes = [], [], [0]
    with file.open() as lines:
        for number, line in enumerate(lines, start=1):
            try:
                impression, listed = line.strip("\n").split()
                ids.append(int(impression))
                own = json.loads(listed)
                proper = sorted(own) == list(range(1, len(own) + 1))
            except (ValueError, TypeError) as error:
                raise NewsError(f"{file}, line {number}: not `ID [rank,...]`: {error}") from error
            if not proper:
                raise NewsError(f"{file}, line {number}: ranks are not 1 to {len(own)}")
            ranks += own
            sizes.append(len(own))
    return (
        np.array(ids, np.int64),
        np.array(ranks, np.int32),
        np.cumsum(sizes, dtype=np.int64),
    )
