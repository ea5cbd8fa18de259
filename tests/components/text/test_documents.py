"""Documents: how a trail lies in the shards, and what a damaged shard says."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.activity.config import JOBS, SplitConfig
from components.activity.split import member_split
from components.text import tokeniser
from components.text.config import TextConfig
from components.text.documents import Tokens, write_tokens
from components.text.errors import TextError
from components.text.render import action_text
from components.text.shards import ArrayFile
from components.text.vocabulary import Vocabulary, train_vocabulary

EVERYBODY = SplitConfig(validation=0, test=0)
CONFIG = TextConfig(vocabulary_size=600)
ANN = [
    ("ann", 1, "JOB_SEARCH", "Data Engineer"),
    ("ann", 1, "VIEW", "Acme Inc", "Data Engineer"),
    ("ann", 2, "APPLY", "Acme Inc", "Data Engineer"),
    ("ann", 3, "JOB_SEARCH", None),
]
BOB = [("bob", 1, "VIEW", None, "看護師")]
CY = [("cy", 1, "JOB_SEARCH", "Nurse"), ("cy", 2, "SAVE", "Ward", None)]


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory, write_parts_in):
    home = tmp_path_factory.mktemp("vocabulary")
    sessions = write_parts_in(home / "sessions", ANN, BOB, CY)
    train_vocabulary(sessions, home / "vocabulary", CONFIG, JOBS, split=EVERYBODY, seed=0)
    return home / "vocabulary"


@pytest.fixture
def tokenise(write_parts, vocabulary, tmp_path):
    def write(*parts, config=CONFIG, split=EVERYBODY, name="tokens"):
        sessions = write_parts(*parts, name=f"sessions of {name}")
        write_tokens(sessions, vocabulary, tmp_path / name, config, split=split, seed=0)
        return Tokens.open(tmp_path / name)

    return write


def read(tokens, vocabulary, member, *sessions):
    (row,) = tokens.rows([member])
    return Vocabulary.load(vocabulary).decode(tokens.document(row, *sessions))


def test_a_document_is_sessions_of_actions_each_closed_by_a_separator(tokenise, vocabulary):
    tokens = tokenise(ANN + BOB, CY)
    assert read(tokens, vocabulary, "ann") == (
        "JOB_SEARCH data engineer VIEW c_acme_inc data engineer [SEP] "
        "APPLY c_acme_inc data engineer [SEP] JOB_SEARCH [SEP]"
    )
    assert read(tokens, vocabulary, "bob") == "VIEW 看護師 [SEP]"
    assert read(tokens, vocabulary, "cy") == "JOB_SEARCH nurse [SEP] SAVE c_ward [SEP]"


def test_sessions_are_cut_out_by_number(tokenise, vocabulary):
    tokens = tokenise(ANN, CY)
    assert read(tokens, vocabulary, "ann", 1, 2) == "APPLY c_acme_inc data engineer [SEP]"
    assert read(tokens, vocabulary, "ann", 2) == "JOB_SEARCH [SEP]"
    assert read(tokens, vocabulary, "ann", 1, 1) == ""
    (row,) = tokens.rows(["ann"])
    assert tokens.sessions_of(row) == 3
    assert tokens.session_lengths(row).sum() == len(tokens.document(row))
    assert tokens.session_end(row).tolist() == [1_000_000, 2_000_000, 3_000_000]


def test_rows_run_over_the_shards_in_order(tokenise):
    tokens = tokenise(ANN + BOB, [], CY)
    assert tokens.members == 3
    assert tokens.member_ids.to_pylist() == ["ann", "bob", "cy"]
    assert tokens.rows(["cy", "ann"]).tolist() == [2, 0]


def test_a_document_of_queries_keeps_the_session_numbers(tokenise, vocabulary):
    tokens = tokenise(ANN + BOB, config=TextConfig(vocabulary_size=600, sequence="query"))
    assert tokens.sequence == "query"
    assert read(tokens, vocabulary, "ann", 0, 1) == "JOB_SEARCH data engineer [SEP]"
    assert read(tokens, vocabulary, "ann", 1, 2) == ""
    assert read(tokens, vocabulary, "ann", 2, 3) == "JOB_SEARCH [SEP]"
    assert read(tokens, vocabulary, "bob") == ""
    assert tokens.sessions_of(1) == 1


def test_a_document_is_a_view_and_cannot_be_written(tokenise):
    document = tokenise(ANN).document(0)
    assert document.dtype == np.int32
    assert document.base is not None
    assert not document.flags.writeable


TRAILS = st.lists(
    st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(["JOB_SEARCH", "VIEW"]),
                st.sampled_from([None, "", "Nurse", "データ エンジニア", "A  b\tC"]),
                st.sampled_from([None, "Acme Inc", "Ünïted"]),
            ),
            min_size=1,
            max_size=3,
        ),
        min_size=1,
        max_size=4,
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trails=TRAILS, rows=st.integers(1, 20))
def test_a_document_equals_its_actions_encoded_one_by_one(
    trails, rows, vocabulary, write_parts_in, tmp_path_factory
):
    home = tmp_path_factory.mktemp("property")
    listed = [
        (f"m{number}", session, action, text)
        if action == "JOB_SEARCH"
        else (f"m{number}", session, action, company, text)
        for number, trail in enumerate(trails)
        for session, actions in enumerate(trail, start=1)
        for action, text, company in actions
    ]
    sessions = write_parts_in(home / "sessions", listed)
    config = TextConfig(vocabulary_size=600, batch_rows=rows)
    write_tokens(sessions, vocabulary, home / "tokens", config, split=EVERYBODY, seed=0)
    tokens, words = Tokens.open(home / "tokens"), Vocabulary.load(vocabulary)

    assert tokens.members == len(trails)
    for row, trail in enumerate(trails):
        expected = []
        for actions in trail:
            for action, text, company in actions:
                is_query = action == "JOB_SEARCH"
                rendered = action_text(
                    action,
                    query=text if is_query else None,
                    company=None if is_query else company,
                    title=None if is_query else text,
                )
                expected.extend(words.encode_batch([rendered])[0].tolist())
            expected.append(words.sep)
        assert tokens.document(row).tolist() == expected
        assert tokens.sessions_of(row) == len(trail)
        pieces = [tokens.document(row, n, n + 1) for n in range(len(trail))]
        assert np.concatenate(pieces).tolist() == expected


def test_forgetting_texts_under_memory_pressure_changes_nothing(tokenise, monkeypatch):
    parts = [ANN + BOB, CY]
    config = TextConfig(vocabulary_size=600, batch_rows=1)
    expected = tokenise(*parts, config=config)
    monkeypatch.setitem(tokeniser.Tokeniser.__init__.__kwdefaults__, "remembered", 0)
    forgetful = tokenise(*parts, config=config, name="forgetful")
    for row in range(3):
        assert forgetful.document(row).tolist() == expected.document(row).tolist()


def test_the_split_is_that_of_the_member_ids(tokenise):
    half = SplitConfig(validation=0.3, test=0.3)
    members = [f"m{n:02d}" for n in range(50)]
    tokens = tokenise([(member, 1, "JOB_SEARCH", "nurse") for member in members], split=half)
    expected = member_split(members, seed=0, validation=0.3, test=0.3)
    assert tokens.split.tolist() == expected.tolist()
    assert set(expected) == {0, 1, 2}


def test_the_manifest_tells_the_vocabulary_and_the_sizes(tokenise, vocabulary, tmp_path):
    tokens = tokenise(ANN, CY)
    assert tokens.vocabulary == Vocabulary.load(vocabulary).hash
    manifest = json.loads((tmp_path / "tokens/manifest.json").read_text())
    sizes = [(shard["members"], shard["sessions"]) for shard in manifest["shards"]]
    assert sizes == [(1, 3), (1, 2)]
    assert manifest["shards"][0]["tokens"] == len(tokens.document(0))


@pytest.mark.parametrize(
    "name", ["tokens.npy", "session_offsets.npy", "member_offsets.npy", "member_ids.arrow"]
)
def test_a_truncated_or_missing_file_is_named_on_opening(tokenise, tmp_path, name):
    tokenise(ANN, CY)
    path = tmp_path / "tokens/shard-00001" / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TextError, match=rf"shard-00001/{name}: truncated"):
        Tokens.open(tmp_path / "tokens")
    path.unlink()
    with pytest.raises(TextError, match=rf"shard-00001/{name}: .*none found"):
        Tokens.open(tmp_path / "tokens")


@pytest.mark.parametrize("name", ["tokens.npy", "member_ids.arrow"])
def test_a_scribbled_header_is_named_on_opening(tokenise, tmp_path, name):
    tokenise(ANN)
    path = tmp_path / "tokens/shard-00000" / name
    path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.raises(TextError, match=rf"{name}: damaged"):
        Tokens.open(tmp_path / "tokens")


def test_a_flipped_bit_is_found_by_the_full_check(tokenise, tmp_path):
    tokens = tokenise(ANN)
    tokens.verify()
    path = tmp_path / "tokens/shard-00000/tokens.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(TextError, match=r"tokens\.npy: damaged"):
        Tokens.open(tmp_path / "tokens").verify()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"vocabulary": "x", "sequence": "action"}'])
def test_a_damaged_manifest_is_named(tokenise, tmp_path, content):
    tokenise(ANN)
    (tmp_path / "tokens/manifest.json").write_text(content)
    with pytest.raises(TextError, match=r"manifest\.json: no readable manifest"):
        Tokens.open(tmp_path / "tokens")


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_run_leaves_the_tokens_of_the_one_before(
    tokenise, write_parts, vocabulary, tmp_path, monkeypatch, error
):
    tokenise(ANN)
    later = write_parts(ANN, CY, name="later")
    append = ArrayFile.append

    def fails_in_the_second_shard(self, values):
        if "shard-00001" in str(self.path):
            raise error
        append(self, values)

    with monkeypatch.context() as patch:
        patch.setattr(ArrayFile, "append", fails_in_the_second_shard)
        with pytest.raises(type(error) if isinstance(error, OSError) else error):
            write_tokens(later, vocabulary, tmp_path / "tokens", CONFIG, split=EVERYBODY, seed=0)
    assert Tokens.open(tmp_path / "tokens").members == 1

    write_tokens(later, vocabulary, tmp_path / "tokens", CONFIG, split=EVERYBODY, seed=0)
    assert Tokens.open(tmp_path / "tokens").members == 2
    assert sorted(path.name for path in tmp_path.iterdir() if "tokens" in path.name) == [
        "sessions of tokens",
        "tokens",
    ]


def test_a_query_of_100_000_characters_takes_no_more_than_a_line(tokenise):
    pasted = "data engineer " * 7_500
    tokens = tokenise([("ann", 1, "JOB_SEARCH", pasted)])
    assert 50 < len(tokens.document(0)) < 512


def test_a_directory_without_tokens_is_named(tmp_path):
    with pytest.raises(TextError, match="no readable manifest"):
        Tokens.open(tmp_path)


def test_an_unknown_member_or_session_is_named(tokenise):
    tokens = tokenise(ANN, CY)
    with pytest.raises(TextError, match="no member 'zoe'"):
        tokens.rows(["ann", "zoe"])
    with pytest.raises(TextError, match="row 2 is not one of its 2 members"):
        tokens.document(2)
    with pytest.raises(TextError, match="row 1 has 2 sessions"):
        tokens.document(1, 0, 3)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("ann", 1, "DANCE", "x")], "action 'DANCE' is not in the vocabulary"),
        (CY + ANN, "members are not sorted: 'ann'"),
        ([("ann", 2, "VIEW", None, "x")], "sessions of member 'ann'"),
        (
            [("ann", 1, "VIEW", None, "x"), ("ann", 3, "VIEW", None, "x")],
            "sessions of member 'ann'",
        ),
    ],
    ids=["action", "members", "first session", "skipped session"],
)
@pytest.mark.parametrize("batch_rows", [1, 100])
def test_unusable_sessions_are_refused_by_file_and_nothing_is_written(
    tokenise, tmp_path, rows, message, batch_rows
):
    config = TextConfig(vocabulary_size=600, batch_rows=batch_rows)
    with pytest.raises(TextError, match=rf"part-00001\.parquet: {message}"):
        tokenise(BOB, rows, config=config)
    assert not (tmp_path / "tokens").exists()


def test_a_part_without_a_column_is_named(write_parts, vocabulary, tmp_path):
    sessions = write_parts(ANN)
    part = sessions / "part-00000.parquet"
    pq.write_table(pq.read_table(part).drop_columns("title"), part)
    with pytest.raises(TextError, match=r"part-00000\.parquet: has no column 'title'"):
        write_tokens(sessions, vocabulary, tmp_path / "t", CONFIG, split=EVERYBODY, seed=0)


def test_a_damaged_part_is_named(write_parts, vocabulary, tmp_path):
    sessions = write_parts(ANN)
    (sessions / "part-00000.parquet").write_bytes(b"not parquet")
    with pytest.raises(TextError, match=r"part-00000\.parquet"):
        write_tokens(sessions, vocabulary, tmp_path / "t", CONFIG, split=EVERYBODY, seed=0)
    shutil.rmtree(sessions)
    with pytest.raises(TextError, match="holds no session parts"):
        write_tokens(sessions, vocabulary, tmp_path / "t", CONFIG, split=EVERYBODY, seed=0)
