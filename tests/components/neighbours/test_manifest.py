"""An index whose files are not those of its manifest is refused by name."""

import json
import shutil

import pytest

from components.neighbours.errors import NeighboursError
from components.neighbours.index import Neighbours


@pytest.fixture
def index(build, crowd, tmp_path):
    build(crowd, shards=3)
    return tmp_path / "index"


def swap(index):
    first, second = index / "shard-0000.npy", index / "shard-0001.npy"
    first.rename(index / "aside")
    second.rename(first)
    (index / "aside").rename(second)


def rewrite(index, **changes):
    path = index / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda index: (index / "shard-0001.npy").unlink(), "shard-0001.npy: missing"),
        (
            lambda index: (index / "shard-0002.npy").write_bytes(b"short"),
            "shard-0002.npy: 5 bytes, the manifest says",
        ),
        (swap, "shard-000[01].npy: not the file that the manifest describes"),
        (lambda index: (index / "members.arrow").unlink(), "members.arrow: missing"),
        (lambda index: (index / "manifest.json").unlink(), "manifest.json: not readable"),
        (lambda index: (index / "manifest.json").write_text("{"), "manifest.json: not readable"),
        (lambda index: rewrite(index, format=99), "format 99, this program reads 1"),
        (lambda index: rewrite(index, count=7), "do not add up to 7"),
        (lambda index: (index / "removed.json").write_text("7"), "removed.json: not readable"),
        (shutil.rmtree, "manifest.json: not readable"),
    ],
)
def test_a_damaged_index_is_refused_by_file(index, damage, message):
    damage(index)
    with pytest.raises(NeighboursError, match=message):
        Neighbours.open(index)
