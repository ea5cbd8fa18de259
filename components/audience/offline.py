"""What audiences are trained and measured on: postings that members of one split applied to.

Vectors and predictions are those of contexts, so that nothing of a member's target is known when he
is recommended.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from numpy.typing import NDArray

from components.audience.matches import ExactMatches, Predictions, Texts
from components.audience.metrics import pairs_matrix
from components.audience.trails import People
from components.extreme.slice import Slice
from components.neighbours.index import Neighbours
from components.text.render import normalise


class Sample(NamedTuple):
    """Postings, and which members applied to one of the same title afterwards.

    Attributes:
        item_ids, companies, titles: of the postings, one for each title.
        relevant: bool [postings, members], who applied to a posting with this normalised title.
        members: of the split, int64.
    """

    item_ids: list[str | None]
    companies: list[str | None]
    titles: list[str]
    relevant: sp.csr_matrix
    members: NDArray[np.int64]


def sample_postings(
    applications: pa.Table, people: People, split: str, *, most: int, seed: int
) -> Sample:
    """Draw titles that members of a split applied to in their targets.

    A title stands for all its postings; the one that most of them applied to represents it.

    Args:
        applications: of `read_applications`; those in targets count.
        people: the members.
        split: "validation" or "test".
        most: titles drawn, all of them where there are fewer.
        seed: of the draw.
    """
    members = people.rows(split)
    later = applications.filter(applications["later"]).drop_columns("later").to_pandas()
    numbers = pd.Series(members, index=people.ids[members])
    later = later[later["member_id"].isin(numbers.index)]
    later["member"] = numbers.loc[later["member_id"]].to_numpy()
    later["name"] = later["title"].map({t: normalise(t) for t in later["title"].unique()})
    names = np.array(sorted(set(later["name"]) - {""}), object)
    drawn = np.random.default_rng(seed).permutation(len(names))[:most]
    later = later[later["name"].isin(names[drawn])]

    postings = later.groupby(["name", "item_id", "company", "title"], dropna=False)["member"]
    counted = postings.nunique().reset_index(name="applicants")
    counted = counted.sort_values(["name", "applicants", "item_id"], ascending=[True, False, True])
    chosen = counted.drop_duplicates("name").reset_index(drop=True)
    number = pd.Series(chosen.index, index=chosen["name"])
    relevant = pairs_matrix(
        number.loc[later["name"]].to_numpy(),
        later["member"].to_numpy(),
        (len(chosen), len(people.ids)),
    )
    return Sample(
        _texts(chosen["item_id"]),
        _texts(chosen["company"]),
        chosen["title"].tolist(),
        relevant,
        members,
    )


def match_contexts(
    index: Neighbours,
    *,
    applications: pa.Table,
    headlines: pa.Table,
    predictions: Predictions,
    labels: pa.Table,
) -> ExactMatches:
    """Match members by what was known of them before their cuts.

    Args:
        index: whose rows the members are.
        applications: of `read_applications`; those in targets do not count.
        headlines: of `read_headlines`.
        predictions: of contexts, by row of the index.
        labels: of the predictions.
    """
    before = applications.filter(pc.invert(applications["later"]))
    return ExactMatches(
        len(index),
        applied=titles_of(index, before["member_id"], before["title"], before["times"]),
        headlines=titles_of(index, headlines["member_id"], headlines["headline"]),
        predictions=predictions,
        labels=labels,
    )


def titles_of(
    index: Neighbours,
    members: pa.ChunkedArray,
    titles: pa.ChunkedArray,
    times: pa.ChunkedArray | None = None,
) -> Texts:
    """Give titles of members the index's rows."""
    often = np.ones(len(titles), np.int64) if times is None else times.to_numpy()
    return Texts(index.rows(members.to_pylist()), titles, often)


def predict_contexts(
    vectors: NDArray[np.float32], model: Slice, rows: NDArray, k: int
) -> Predictions:
    """Predict the k best entities from contexts' vectors.

    Args:
        vectors: of the contexts, float32 [n, d].
        model: of all labels (D2).
        rows: of their members in the index, int64 [n].
        k: entities each.
    """
    k = min(k, model.label_count)
    labels, scores = model.predict(vectors, k)
    return Predictions(np.repeat(rows, k), labels.ravel(), scores.ravel())


def _texts(column: pd.Series) -> list[str | None]:
    return [None if pd.isna(text) else text for text in column]
