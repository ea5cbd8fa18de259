"""The arrays that features are computed from, worked out of a feed and its sessions."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.features.arrays import write
from components.features.behaviour import load_cuts, load_events
from components.features.catalogue import (
    FEED_COLUMNS,
    Catalogue,
    Profiles,
    build_catalogue,
    build_profiles,
    distinct_places,
    read_columns,
)
from components.features.categories import Categories, translate
from components.features.config import FeaturesConfig
from components.features.counting import (
    COUNTS,
    HISTORY_KINDS,
    SPACES,
    member_totals,
    own_runs,
    own_searches,
    pair_runs,
    past_texts,
    title_terms,
    totals,
)
from components.features.groups import member_done, member_facts
from components.features.index import TextIndex
from components.features.phrases import LEVELS, PhraseReader
from components.features.rates import Counts, Rates, base_rates, smooth
from components.features.terms import Idf, TermSets, trigrams_of
from components.features.words import WordIds, words_of
from components.text.render import normalise

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class Sources(NamedTuple):
    """Where everything is read from; see `tables.build_tables`."""

    feed: Path
    sessions: Path
    impressions: list[Path]
    examples: Path | None


class Vocabulary(NamedTuple):
    """Texts that are known, by code.

    Attributes:
        member_ids: by row.
        places: normalised; 0 is "".
        queries: exact normalised queries of training members.
        searches: int64, by training members, beside them.
        cores: cores of every member's queries; 0 is "".
    """

    member_ids: list[str]
    places: list[str]
    queries: list[str]
    searches: NDArray[np.int64]
    cores: list[str]


class Built(NamedTuple):
    """What the directory's description needs to know."""

    catalogue: Catalogue
    vocabulary: Vocabulary
    words: WordIds
    categories: Categories
    as_of: int


class Known(NamedTuple):
    """What a model was trained to understand: ids of words, and categories."""

    words: WordIds
    categories: Categories


def build_arrays(
    engine: "DuckDBPyConnection",
    sources: Sources,
    directory: Path,
    config: FeaturesConfig,
    known: Known | None,
) -> Built:
    """Count everything and write it, array by array; words and categories are learnt or `known`."""
    profile_rows = read_columns(sources.feed / "profiles", FEED_COLUMNS["profiles"])
    postings = read_columns(sources.feed / "postings", FEED_COLUMNS["postings"])
    load_cuts(engine, sources.sessions, sources.impressions, profile_rows, sources.examples)
    if postings is None:
        postings = _postings_acted_on(engine)
    places = distinct_places(
        postings["place"], profile_rows["place"] if profile_rows is not None else None
    )
    catalogue = build_catalogue(postings, places)
    ids = engine.query("SELECT member_id FROM member ORDER BY member").to_arrow_table()
    member_ids = ids["member_id"].to_pylist()
    profiles = build_profiles(profile_rows, member_ids, places)
    vocabulary = _learn_queries(engine, member_ids, places)
    _register_codes(engine, catalogue)
    answers = read_columns(sources.feed / "responses", FEED_COLUMNS["responses"])
    load_events(engine, answers)
    counts = _write_counts(engine, directory, catalogue, vocabulary)
    _write_texts(directory, catalogue, profiles, vocabulary)
    base = base_rates(counts["posting"].sum(0))
    _write_members(engine, directory, profiles, base, config)
    _write_past(engine, directory, catalogue, base, config, len(member_ids))
    if known is None:
        known = Known(
            _learn_words(catalogue, vocabulary.queries, config),
            _learn_categories(directory, catalogue, profiles, vocabulary, counts, config),
        )
    _write_categories(directory, catalogue, profiles, vocabulary, known.categories)
    latest = engine.query(
        "SELECT max(ts) AS ts FROM (SELECT ts FROM act UNION ALL SELECT ts FROM page)"
    ).to_arrow_table()
    return Built(catalogue, vocabulary, *known, latest["ts"][0].as_py() or 0)


def _postings_acted_on(engine: "DuckDBPyConnection") -> pa.Table:
    """Make a catalogue of what training members acted on, for a feed that brings none."""
    table = engine.query(
        """SELECT item_id, any_value(company) AS company, any_value(title) AS title
        FROM session_row JOIN member USING (member_id)
        WHERE counted AND ts < cut AND item_id IS NOT NULL GROUP BY item_id ORDER BY item_id"""
    ).to_arrow_table()
    for name in FEED_COLUMNS["postings"][3:]:
        table = table.append_column(name, pa.nulls(len(table)))
    return table


def _learn_words(catalogue: Catalogue, queries: list[str], config: FeaturesConfig) -> WordIds:
    texts = [*queries, *catalogue.title.texts[1:], *catalogue.company.texts[1:]]
    return WordIds.learn(texts, minimum=config.minimum_word_count, most=config.vocabulary)


def _learn_queries(
    engine: "DuckDBPyConnection", member_ids: list[str], places: list[str]
) -> Vocabulary:
    raw = engine.query(
        """SELECT query, sum(searches)::BIGINT AS searches, bool_or(counted) AS counted FROM (
            SELECT query, counted, (counted AND kind = 'search')::INT AS searches FROM act
            UNION ALL SELECT query, counted, 0 FROM page
        ) WHERE query IS NOT NULL GROUP BY query ORDER BY query"""
    ).to_arrow_table()
    spelled = [normalise(text) for text in raw["query"].to_pylist()]
    searches: Counter[str] = Counter()
    trained: list[str] = []
    for text, count, counted in zip(
        spelled, raw["searches"].to_pylist(), raw["counted"].to_pylist(), strict=True
    ):
        searches[text] += count
        if counted:
            trained.append(text)
    reader = PhraseReader(places[1:])
    core_of = [reader.read(text).core for text in spelled]
    cores = sorted(set(core_of) - {""})
    number = {core: code for code, core in enumerate(cores, start=1)}
    queries = sorted(text for text in set(trained) if text)
    exact = {query: code for code, query in enumerate(queries)}
    columns = {
        "core": pa.array([number.get(core) for core in core_of], pa.int64()),
        "exact": pa.array([exact.get(text) for text in spelled], pa.int64()),
    }
    engine.register("query_code", pa.table({"query": raw["query"], **columns}))
    counts = np.array([searches[text] for text in queries], np.int64)
    return Vocabulary(member_ids, places, queries, counts, ["", *cores])


def _register_codes(engine: "DuckDBPyConnection", catalogue: Catalogue) -> None:
    columns = {
        "item_id": pa.array(catalogue.item_ids, pa.string()),
        "posting": np.arange(len(catalogue.item_ids)),
        **{name: column for name, (column, _) in _spaces(catalogue).items()},
    }
    engine.register("posting_code", pa.table(columns))


def _spaces(catalogue: Catalogue) -> dict[str, tuple[NDArray[np.int32], int]]:
    """Codes of postings, and how many codes there are, by what they are counted by."""
    return {
        "title": (catalogue.title.codes, len(catalogue.title.texts)),
        "company": (catalogue.company.codes, len(catalogue.company.texts)),
        "industry": (catalogue.industry.codes, len(catalogue.industry.texts)),
        "place": (catalogue.place, int(catalogue.place.max(initial=0)) + 1),
        "level": (catalogue.level, len(LEVELS)),
    }


def _write_counts(
    engine: "DuckDBPyConnection",
    directory: Path,
    catalogue: Catalogue,
    vocabulary: Vocabulary,
) -> dict[str, NDArray[np.float64]]:
    offsets, titles = pair_runs(engine, len(vocabulary.cores))
    write(directory, "pair.offsets", offsets)
    write(directory, "pair.titles", titles)
    sizes = {space: size for space, (_, size) in _spaces(catalogue).items()} | {
        "posting": len(catalogue.item_ids),
        "core": len(vocabulary.cores),
        "pair": len(titles),
    }
    counts = {}
    for space in SPACES:
        counts[space] = totals(engine, space, sizes[space])
        write(directory, f"all.{space}", counts[space])
        write(directory, f"own.{space}", own_runs(engine, space, len(vocabulary.member_ids)))
    write(directory, "own.searches", own_searches(engine, len(vocabulary.member_ids)))
    write(directory, "shown_in_all", counts["posting"].sum(0))
    return counts


def _write_texts(
    directory: Path, catalogue: Catalogue, profiles: Profiles, vocabulary: Vocabulary
) -> None:
    idf = Idf.learn(catalogue.title.texts[1:])
    write(directory, "idf.terms", idf.terms)
    write(directory, "idf.values", idf.values)
    write(directory, "idf.unseen", np.array([idf.unseen]))
    for name, texts in {
        "title": catalogue.title.texts,
        "company": catalogue.company.texts,
        "skills": catalogue.skills.texts,
        "headline": profiles.headline.texts,
        "core": vocabulary.cores,
    }.items():
        write(directory, f"{name}.words", TermSets.of(texts, words_of, idf))
        if name != "company":
            write(directory, f"{name}.letters", TermSets.of(texts, trigrams_of))
    write(directory, "item_index", TextIndex.of(catalogue.item_ids))
    write(directory, "member_index", TextIndex.of(vocabulary.member_ids))
    write(directory, "query_index", TextIndex.of(vocabulary.queries))
    write(directory, "query_searches", vocabulary.searches)
    write(directory, "core_index", TextIndex.of(vocabulary.cores[1:]))
    for space, (codes, _) in _spaces(catalogue).items():
        write(directory, f"posting.{space}", codes)
    write(directory, "posting.skills", catalogue.skills.codes.astype(np.int64))
    write(directory, "posting.facts", _posting_facts(catalogue))


def _posting_facts(catalogue: Catalogue) -> NDArray[np.float32]:
    """Return the columns `groups.POSTING_FACTS`."""
    columns = []
    for coded in (catalogue.title, catalogue.company, catalogue.skills):
        lengths = np.array([len(words_of(text)) for text in coded.texts])
        columns.append(lengths[coded.codes])
    for coded in (catalogue.company, catalogue.title):
        alike = np.bincount(coded.codes, minlength=1)
        columns.append(np.log1p(np.where(coded.codes > 0, alike[coded.codes], 0)))
    return np.stack(columns, 1).astype(np.float32)


def _write_members(
    engine: "DuckDBPyConnection",
    directory: Path,
    profiles: Profiles,
    base: Rates,
    config: FeaturesConfig,
) -> None:
    own = member_totals(engine)
    counts = Counts.of_rows(own.counts)
    facts = member_facts(
        counts,
        base,
        config.smoothing,
        {**own._asdict(), "known": own.first > 0, "profile": profiles.known}
        | {"years": profiles.years},
    )
    arrays = {
        "facts": facts,
        "counted": own.counted,
        "first": own.first,
        "latest": own.latest,
        "level": own.level,
        "done": member_done(counts),
        "place": profiles.place,
        "headline": profiles.headline.codes.astype(np.int64),
        # How readily a member opens what he is shown: what his words are compared with.
        "open_rate": smooth(counts, base, config.smoothing).opened,
    }
    for name, array in arrays.items():
        write(directory, f"member.{name}", array)


def _write_past(
    engine: "DuckDBPyConnection",
    directory: Path,
    catalogue: Catalogue,
    base: Rates,
    config: FeaturesConfig,
    members: int,
) -> None:
    for kind in ("search", *HISTORY_KINDS):
        offsets, texts = past_texts(engine, kind, config.history, members)
        write(directory, f"past.{kind}.offsets", offsets)
        write(directory, f"past.{kind}.texts", texts)
    sets = TermSets.of(catalogue.title.texts, words_of)
    title = np.repeat(np.arange(len(sets)), np.diff(sets.offsets))
    offsets, terms, counts = title_terms(
        engine, pa.table({"title": title, "term": sets.terms}), members
    )
    done, shown, opened = counts.T
    open_rate = np.load(directory / "member.open_rate.npy")
    usual = np.repeat(open_rate, np.diff(offsets))
    values = [np.log1p(done), np.log1p(shown), np.log((opened + 1) / (shown * usual + 1))]
    write(directory, "term.offsets", offsets)
    write(directory, "term.terms", terms)
    write(directory, "term.values", np.stack(values, 1).astype(np.float32))


def _write_categories(
    directory: Path,
    catalogue: Catalogue,
    profiles: Profiles,
    vocabulary: Vocabulary,
    categories: Categories,
) -> None:
    places = vocabulary.places
    write(directory, "category.posting", categories.of_postings(catalogue, places))
    write(directory, "category.member", categories.of_members(profiles, places))
    write(directory, "category.core", translate(vocabulary.cores, categories.core))
    write(directory, "category.place", translate(places, categories.place))


def _learn_categories(
    directory: Path,
    catalogue: Catalogue,
    profiles: Profiles,
    vocabulary: Vocabulary,
    counts: dict[str, NDArray[np.float64]],
    config: FeaturesConfig,
) -> Categories:
    cores, headlines = vocabulary.cores, profiles.headline
    counted = np.load(directory / "member.counted.npy")
    having = np.bincount(headlines.codes[counted], minlength=len(headlines.texts))
    shown = COUNTS.index("shown")
    return Categories.learn(
        catalogue,
        vocabulary.places,
        companies=counts["company"][:, shown],
        titles=counts["title"][:, shown],
        cores=(cores, counts["core"][:, shown]),
        headlines=(headlines.texts, having),
        config=config,
    )
