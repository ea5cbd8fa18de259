"""What is said about postings and members, as codes and texts."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.features.errors import FeaturesError
from components.features.phrases import level_of
from components.text.render import normalise

FEED_COLUMNS = {
    "postings": ("item_id", "company", "title", "industry", "place", "skills"),
    "profiles": ("member_id", "place", "headline", "years"),
    "responses": ("member_id", "item_id", "response", "response_ts"),
}


class Coded(NamedTuple):
    """Texts by code; code 0 is "", unknown.

    Attributes:
        texts: distinct normalised texts.
        codes: int32, one per row.
    """

    texts: list[str]
    codes: NDArray[np.int32]


class Catalogue(NamedTuple):
    """Postings in order of their id.

    Attributes:
        item_ids: distinct.
        title, company, industry: texts by code.
        place: int32 codes into `places`.
        level: int32 codes into `phrases.LEVELS`.
        skills: all skills of a posting as one text.
        first_skill: the first of them by code.
        shown_title, shown_company: as employers write them.
    """

    item_ids: list[str]
    title: Coded
    company: Coded
    industry: Coded
    place: NDArray[np.int32]
    level: NDArray[np.int32]
    skills: Coded
    first_skill: Coded
    shown_title: list[str]
    shown_company: list[str]


class Profiles(NamedTuple):
    """What members say of themselves, in the order of the members.

    Attributes:
        known: bool, whether there is a profile.
        place: int32 codes into `places`.
        headline: texts by code.
        years: float32, -1 when not said.
    """

    known: NDArray[np.bool_]
    place: NDArray[np.int32]
    headline: Coded
    years: NDArray[np.float32]


def read_columns(folder: Path, columns: Sequence[str]) -> pa.Table | None:
    """Read a table of the feed; a column that it lacks is null. None where there is no table.

    Raises:
        FeaturesError: a file is damaged, or lacks its first column, which identifies the rows.
    """
    files = sorted(folder.glob("*.parquet"))
    tables = []
    for file in files:
        try:
            names = pq.read_schema(file).names
            table = pq.read_table(file, columns=[name for name in columns if name in names])
        except (OSError, pa.ArrowException) as error:
            raise FeaturesError(f"{file}: cannot be read as Parquet: {error}") from error
        if columns[0] not in names:
            raise FeaturesError(f"{file}: column {columns[0]} is missing")
        for name in columns:
            if name not in names:
                table = table.append_column(name, pa.nulls(len(table)))
        tables.append(table.select(columns))
    return pa.concat_tables(tables, promote_options="permissive") if tables else None


def code_texts(texts: Sequence[str | None], known: Sequence[str] | None = None) -> Coded:
    """Number distinct normalised texts from 1, in order; those not in `known` are 0 if given."""
    column = pa.array(texts, pa.string()).dictionary_encode()
    spelled = [normalise(text) if text else "" for text in column.dictionary.to_pylist()]
    names = sorted(set(spelled) - {""}) if known is None else list(known[1:])
    numbers = {name: code for code, name in enumerate(names, start=1)}
    of_spelling = np.array([numbers.get(text, 0) for text in spelled] + [0], np.int32)
    return Coded(["", *names], of_spelling[column.indices.fill_null(len(spelled)).to_numpy()])


def build_catalogue(postings: pa.Table, places: Sequence[str]) -> Catalogue:
    """Code a table of postings; the first of several rows of one id counts."""
    order = np.argsort(_strings(postings["item_id"]), kind="stable")
    postings = postings.take(pa.array(order))
    ids = postings["item_id"].to_pylist()
    first = [at for at, item in enumerate(ids) if item and (at == 0 or ids[at - 1] != item)]
    postings = postings.take(pa.array(first, pa.int64()))
    titles, companies, industries, places_ = (
        _strings(postings[name]) for name in ("title", "company", "industry", "place")
    )
    title = code_texts(titles)
    levels = np.array([level_of(text) for text in title.texts], np.int32)
    skills = _skills(postings["skills"])
    return Catalogue(
        item_ids=postings["item_id"].to_pylist(),
        title=title,
        company=code_texts(companies),
        industry=code_texts(industries),
        place=code_texts(places_, places).codes,
        level=levels[title.codes],
        skills=code_texts([" ".join(own) for own in skills]),
        first_skill=code_texts([own[0] if own else "" for own in skills]),
        shown_title=titles,
        shown_company=companies,
    )


def build_profiles(
    profiles: pa.Table | None, member_ids: Sequence[str], places: Sequence[str]
) -> Profiles:
    """Code what members say, one row per member of `member_ids`; the first profile counts."""
    if profiles is None:
        profiles = pa.table({name: pa.array([], pa.string()) for name in FEED_COLUMNS["profiles"]})
    row = pc.index_in(pa.array(member_ids, pa.string()), profiles["member_id"].cast(pa.string()))
    own = profiles.take(row)
    return Profiles(
        known=row.is_valid().to_numpy(zero_copy_only=False),
        place=code_texts(_strings(own["place"]), places).codes,
        headline=code_texts(_strings(own["headline"])),
        years=own["years"].cast(pa.float32()).fill_null(-1).to_numpy().clip(-1, 100),
    )


def distinct_places(*columns: pa.ChunkedArray | None) -> list[str]:
    """Return the places named in any of the columns, by code; 0 is ""."""
    named = [text for column in columns if column is not None for text in _strings(column)]
    return code_texts(named).texts


def _strings(column: pa.ChunkedArray) -> list[str]:
    return column.cast(pa.string()).fill_null("").to_pylist()


def _skills(column: pa.ChunkedArray) -> list[list[str]]:
    if pa.types.is_list(column.type):
        return [[skill for skill in own or [] if skill] for own in column.to_pylist()]
    return [[text] if text else [] for text in _strings(column)]
