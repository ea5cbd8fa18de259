"""What the generated marketplace knows and no model may: latent goals, and grades from them.

For evaluation only. A training step never receives the truth's path.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.marketplace.catalogue import Catalogue
from components.marketplace.errors import MarketplaceError
from components.marketplace.queries import ANY, FORMS
from components.marketplace.tables import EXTRAS, save
from components.marketplace.words import FAMILIES

PERFECT, GOOD, FAIR, BAD, UNASKED = 3, 2, 1, 0, -1
CLOSE = 0.35
BROAD = tuple(FORMS.index(form) for form in ("head", "domain"))


@dataclass(frozen=True, slots=True)
class Truth:
    """The latent goals of a generated marketplace's members, and what its texts mean.

    Attributes:
        members: member ids, sorted.
        goals: the latest goal of each member (occupation, speciality, level), int32[M, 3].
        names: of the occupations, such as "data analyst".
        families: of the occupations, such as "technology".
        closeness: how alike two occupations are, 0 to 1, float32[O, O].
        neighbours: occupations that members of an occupation turn to, int64[O, 6].
        meanings: rows (occupation, speciality or -1, level or -1, broad) by entity text.
    """

    members: NDArray[np.object_]
    goals: NDArray[np.int32]
    names: NDArray[np.object_]
    families: NDArray[np.object_]
    closeness: NDArray[np.float32]
    neighbours: NDArray[np.int64]
    meanings: dict[str, NDArray[np.int32]]
    extras: frozenset[str]

    @classmethod
    def open(cls, path: Path) -> "Truth":
        """Read the truth that `generate` wrote beside a feed.

        Raises:
            MarketplaceError: `path` holds no truth.
        """
        if not (path / "occupations.parquet").is_file():
            raise MarketplaceError(f"{path}: not the truth of a generated marketplace")
        columns = ["member_id", "occupation", "speciality", "level"]
        goals = pq.read_table(path / "members", columns=columns, filters=pc.field("latest"))
        goals = goals.sort_by("member_id")
        occupations = pq.read_table(path / "occupations.parquet").to_pydict()
        return cls(
            members=goals["member_id"].to_numpy(),
            goals=np.stack([goals[c].to_numpy() for c in columns[1:]], axis=1).astype(np.int32),
            names=np.array(occupations["occupation"], object),
            families=np.array(occupations["family"], object),
            closeness=np.load(path / "closeness.npy"),
            neighbours=np.array(occupations["neighbours"]),
            meanings=_meanings(path),
            extras=frozenset(pq.read_table(path / "extras.parquet")["extra"].to_pylist()),
        )

    def occupation(self, member_ids: Iterable[str]) -> NDArray[np.object_]:
        """Name of the occupation each member wants in the end."""
        return self.names[self._goals(member_ids)[:, 0]]

    def family(self, member_ids: Iterable[str]) -> NDArray[np.object_]:
        """Family of that occupation: eight colours for a map of members."""
        return self.families[self._goals(member_ids)[:, 0]]

    def grade(
        self, member_ids: Sequence[str], entity_texts_per_member: Sequence[Sequence[str]]
    ) -> NDArray[np.int8]:
        """Grade entities as the paper's editors do, for each member's latest goal.

        Perfect names the occupation, and no other speciality or a level further than one step.
        Good is another speciality or level of the occupation, or so broad a query ("analyst")
        that the goal is among its meanings. Fair is an occupation that members of this one turn
        to, or one with close words. Everything else is bad, also a text the marketplace does not
        know. A text with several meanings has the grade of its best.

        Args:
            member_ids: n members.
            entity_texts_per_member: n rows of texts, rendered as labels are; rows may differ in
                length.

        Returns:
            int8[n, k], k the longest row: 3 Perfect, 2 Good, 1 Fair, 0 Bad, -1 where a row has no
            such place or an empty text.
        """
        goals = self._goals(member_ids)
        longest = max((len(texts) for texts in entity_texts_per_member), default=0)
        grades = np.full((len(goals), longest), UNASKED, np.int8)
        known: dict[tuple[bytes, str], int] = {}
        for row, texts in enumerate(entity_texts_per_member):
            goal = goals[row]
            for place, text in enumerate(texts):
                if text:
                    key = (goal.tobytes(), text)
                    if key not in known:
                        known[key] = self._grade(goal, text)
                    grades[row, place] = known[key]
        return grades

    def _grade(self, goal: NDArray[np.int32], text: str) -> int:
        meaning = self._meaning(text)
        if meaning is None:
            return BAD
        occupation, speciality, level, broad = meaning.T
        same = occupation == goal[0]
        fits = ((speciality == ANY) | (speciality == goal[1])) & (
            (level == ANY) | (np.abs(level - goal[2]) <= 1)
        )
        close = self.closeness[goal[0], occupation] >= CLOSE
        close |= np.isin(occupation, self.neighbours[goal[0]])
        grades = np.where(same, np.where(fits & (broad == 0), PERFECT, GOOD), close * FAIR)
        return int(grades.max())

    def _meaning(self, text: str) -> NDArray[np.int32] | None:
        if text in self.meanings:
            return self.meanings[text]
        words = text.split()
        for extra in (1, 2):
            if " ".join(words[-extra:]) in self.extras:
                return self.meanings.get(" ".join(words[:-extra]))
        return None

    def _goals(self, member_ids: Iterable[str]) -> NDArray[np.int32]:
        wanted = np.array(list(member_ids), object)
        rows = np.searchsorted(self.members, wanted).clip(max=len(self.members) - 1)
        unknown = self.members[rows] != wanted
        if unknown.any():
            raise MarketplaceError(f"member {wanted[unknown][0]!r} is not in this truth")
        return self.goals[rows]


def _meanings(path: Path) -> dict[str, NDArray[np.int32]]:
    queries = pq.read_table(path / "queries.parquet")
    broad = np.isin(queries["form"].to_numpy(), BROAD)
    columns = [queries[c].to_numpy() for c in ("occupation", "speciality", "level")]
    rows = np.stack([*columns, broad], axis=1).astype(np.int32)
    texts = queries["query"].to_pylist()
    postings = pq.read_table(path / "postings.parquet")
    columns = [postings[c].to_numpy() for c in ("occupation", "speciality", "level")]
    posted = np.stack([*columns, np.zeros(len(postings))], axis=1).astype(np.int32)
    texts += postings["entity"].to_pylist()
    gathered: dict[str, list[NDArray[np.int32]]] = {}
    for text, row in zip(texts, np.concatenate([rows, posted]), strict=True):
        gathered.setdefault(text, []).append(row)
    return {text: np.stack(found) for text, found in gathered.items()}


def write_truth(catalogue: Catalogue, truth: Path) -> None:
    """Write what the catalogue's texts mean; the members' goals are written chunk by chunk."""
    occupations, postings, queries = catalogue.occupations, catalogue.postings, catalogue.queries
    families = list(FAMILIES)
    (truth / "members").mkdir()
    np.save(truth / "closeness.npy", occupations.closeness)
    tables: dict[str, dict] = {
        "occupations": {
            "occupation": occupations.names,
            "family": [families[f] for f in occupations.families],
            "popularity": occupations.popularity,
            "specialities": occupations.specialities,
            "neighbours": occupations.neighbours.tolist(),
        },
        "postings": {
            "entity": entity_texts(catalogue),
            "occupation": postings.occupation,
            "speciality": postings.speciality,
            "level": postings.level,
        },
        "queries": dict(
            zip(
                ("query", "occupation", "speciality", "level", "form"),
                queries.meaning.T,
                strict=True,
            )
        ),
        "extras": {"extra": EXTRAS},
    }
    tables["queries"]["query"] = pa.array(queries.texts).take(pa.array(queries.meaning[:, 0]))
    for name, columns in tables.items():
        save(pa.table(columns), truth / f"{name}.parquet")


def entity_texts(catalogue: Catalogue) -> list[str]:
    """Return the text of each posting as an entity: "c_company title"."""
    postings = catalogue.postings
    words = [_company_word(name) for name in catalogue.companies.names]
    return [
        f"{words[company]} {postings.titles[title].lower()}"
        for company, title in zip(postings.company, postings.title, strict=True)
    ]


def _company_word(company: str) -> str:
    # The catalogue's names are plain ASCII, for which `components.text.render` does just this;
    # a test holds the two together.
    return "c_" + company.lower().replace(" ", "_")
