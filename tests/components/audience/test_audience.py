"""Answers: one audience for a posting, or an error that says why there is none."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.activity.config import JOBS, SplitConfig
from components.audience.errors import AudienceError
from components.encoder.config import EmbedConfig, EncoderConfig
from components.encoder.embed import Embedder
from components.encoder.model import Bert
from components.encoder.weights import save_encoder
from components.neighbours.build import build_from
from components.neighbours.config import NeighboursConfig
from components.neighbours.errors import NeighboursError
from components.neighbours.index import Neighbours
from components.text.config import TextConfig
from components.text.vocabulary import Vocabulary, train_vocabulary


@pytest.fixture(scope="module")
def audience(run):
    return run.open()


@pytest.fixture(scope="module")
def wanted(run):
    """The posting most applied to: item_id, company and title."""
    applied = pq.read_table(run.model / "applied.parquet").to_pandas()
    counts = applied.groupby(["item_id", "company", "title"])["member_id"].nunique()
    return counts.idxmax()


def test_candidates_come_best_first_with_their_reasons(audience, wanted):
    answer = audience.expand(wanted[0])
    assert (answer.company, answer.title) == wanted[1:]
    scores = [candidate.score for candidate in answer.candidates]
    assert scores == sorted(scores, reverse=True)
    assert all(candidate.why for candidate in answer.candidates)
    assert any("applied" in c.why for c in answer.candidates if c.exact)
    assert any(not c.exact for c in answer.candidates)
    assert answer.anchors >= sum(c.exact for c in answer.candidates)


def test_company_and_title_name_the_posting_however_they_are_written(audience, wanted):
    item, company, title = wanted
    assert audience.expand((company.upper(), f" {title} ")) == audience.expand(item)


def test_a_title_alone_stands_for_all_its_postings(audience, run, wanted):
    postings = pq.read_table(run.model / "postings.parquet").to_pylist()
    answer = audience.expand((None, wanted[2].upper()))
    assert answer.company is None
    assert answer.item_ids == [p["item_id"] for p in postings if p["title"] == wanted[2]]
    assert answer.candidates
    with pytest.raises(AudienceError, match="no posting 'Astronaut',"):
        audience.expand((None, "Astronaut"))


@pytest.mark.parametrize("mechanism", ["mean", "feedback"])
def test_the_nearest_and_the_first_can_be_asked_for(audience, wanted, mechanism):
    few = audience.expand(wanted[0], mechanism=mechanism, neighbours=3, at_least=-1, most=2)
    assert len(few.candidates) <= 2
    nobody_near = audience.expand(wanted[0], at_least=1)
    assert all(c.exact or c.similarity > 0.999 for c in nobody_near.candidates)


def test_an_unknown_posting_is_refused_by_name(audience):
    with pytest.raises(AudienceError, match="no posting j9999999"):
        audience.expand("j9999999")
    with pytest.raises(AudienceError, match="no posting 'Astronaut' at 'Moon Inc'"):
        audience.expand(("Moon Inc", "Astronaut"))


@pytest.mark.parametrize(
    ("given", "message"), [({"neighbours": 0}, "neighbours"), ({"at_least": 2}, "at_least")]
)
def test_an_impossible_question_is_refused_by_name(audience, wanted, given, message):
    with pytest.raises(AudienceError, match=message):
        audience.expand(wanted[0], **given)


def test_a_posting_removed_from_the_catalogue_is_said_to_be_gone(run, wanted, tmp_path):
    left = pq.read_table(run.model / "postings.parquet")
    left = left.filter(pa.compute.not_equal(left["item_id"], wanted[0]))
    (tmp_path / "postings").mkdir()
    pq.write_table(left, tmp_path / "postings" / "part-00000.parquet")
    audience = run.open(feed=tmp_path)
    for posting in (wanted[0], wanted[1:]):
        with pytest.raises(AudienceError, match="was removed"):
            audience.expand(posting)


def test_duplicate_postings_have_one_audience(run, wanted, tmp_path):
    postings = pq.read_table(run.model / "postings.parquet").to_pylist()
    _, company, title = wanted
    postings.append({"item_id": "copy", "company": company.upper(), "title": title})
    (tmp_path / "postings").mkdir()
    pq.write_table(pa.Table.from_pylist(postings), tmp_path / "postings" / "part-00000.parquet")
    audience = run.open(feed=tmp_path)
    answer = audience.expand("copy")
    assert answer == audience.expand(wanted[0])
    assert answer.item_ids == [wanted[0], "copy"]


def test_a_posting_that_nobody_matches_says_so(run, tmp_path):
    (tmp_path / "postings").mkdir()
    odd = pa.table({"item_id": ["odd"], "company": ["Moon Inc"], "title": ["Astronaut"]})
    pq.write_table(odd, tmp_path / "postings" / "part-00000.parquet")
    answer = run.open(feed=tmp_path).expand("odd")
    assert answer.candidates == []
    assert answer.anchors == 0
    assert "nobody matches" in answer.note


@pytest.fixture(scope="module")
def embedder(run, tmp_path_factory):
    """An encoder with random weights."""
    home = tmp_path_factory.mktemp("encoder")
    text, split = TextConfig(vocabulary_size=600), SplitConfig()
    train_vocabulary(run.inputs.sessions, home / "vocabulary", text, JOBS, split=split, seed=1)
    sizes = EncoderConfig(layers=1, hidden=16, heads=1, intermediate=32, max_tokens=64)
    bert = Bert(sizes, Vocabulary.load(home / "vocabulary").size)
    state = {f"bert.{name}": tensor for name, tensor in bert.state_dict().items()}
    save_encoder(home / "encoder", state, sizes, home / "vocabulary", pooling="mean_last4")
    return Embedder.load(home / "encoder", EmbedConfig(engine="torch"))


def test_an_embedder_finds_who_is_near_a_posting_that_nobody_matches(run, embedder, tmp_path):
    shutil.copytree(run.model, tmp_path / "model")
    about = json.loads((run.model / "about.json").read_text()) | {"encoder": embedder.version}
    (tmp_path / "model" / "about.json").write_text(json.dumps(about))
    ids = Neighbours.open(run.index).member_ids
    vectors = np.random.default_rng(1).normal(size=(len(ids), embedder.dimension))
    build_from(
        ids,
        vectors.astype(np.float32),
        embedder.version,
        tmp_path / "index",
        NeighboursConfig(),
        seed=1,
    )
    (tmp_path / "postings").mkdir()
    odd = pa.table({"item_id": ["odd"], "company": ["Moon Inc"], "title": ["Astronaut"]})
    pq.write_table(odd, tmp_path / "postings" / "part-00000.parquet")
    audience = run.open(
        model=tmp_path / "model", index=tmp_path / "index", feed=tmp_path, embedder=embedder
    )
    answer = audience.expand("odd")
    assert answer.anchors == 0
    assert "nearest to the vector of an application" in answer.note
    assert not any(candidate.exact for candidate in answer.candidates)
    near = audience.index.search(
        embedder.embed([document_of(embedder, "APPLY c_moon_inc astronaut")]), 60
    )
    nearest = set(pa.array(ids).take(pa.array(near.rows[0])).to_pylist())
    assert {candidate.member_id for candidate in answer.candidates} <= nearest


def test_an_embedder_of_another_version_is_refused_by_name(run, embedder):
    with pytest.raises(AudienceError, match=f"encoder v1, not of {embedder.version}"):
        run.open(embedder=embedder)


def document_of(embedder, text):
    words = embedder.vocabulary
    return np.concatenate([*words.encode_batch([text]), np.array([words.sep], np.int32)])


def test_members_removed_from_the_index_are_in_no_audience(run, wanted, tmp_path):
    shutil.copytree(run.index, tmp_path / "index")
    audience = run.open(index=tmp_path / "index")
    before = audience.expand(wanted[0])
    gone = {before.candidates[0].member_id, next(c for c in before.candidates if c.exact).member_id}
    audience.index.remove(sorted(gone))
    after = audience.expand(wanted[0])
    assert not gone & {c.member_id for c in after.candidates}
    assert after.anchors < before.anchors
    reopened = run.open(index=tmp_path / "index").expand(wanted[0])
    assert reopened == after


def test_an_index_of_another_encoder_is_refused_by_name(run, tmp_path):
    shutil.copytree(run.model, tmp_path / "model")
    about = json.loads((tmp_path / "model" / "about.json").read_text())
    (tmp_path / "model" / "about.json").write_text(json.dumps(about | {"encoder": "v2"}))
    with pytest.raises(NeighboursError, match="encoder v1, not of v2"):
        run.open(model=tmp_path / "model")


@pytest.mark.parametrize("name", ["about.json", "reranker.json", "reranker.txt", "applied.parquet"])
def test_a_damaged_model_is_refused_by_name(run, tmp_path, name):
    shutil.copytree(run.model, tmp_path / "model")
    (tmp_path / "model" / name).write_text("damaged")
    with pytest.raises(AudienceError, match="model"):
        run.open(model=tmp_path / "model")
