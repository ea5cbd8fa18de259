"""The uses that a replay exercises: home page, recommendations, results page, notification."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from components.experiments.experiments import Assigned
from components.marketplace.population import Population
from components.marketplace.response import LUCK, opens
from components.marketplace.scene import Scene
from components.marketplace.searching import NOTHING, SearchEngine
from components.marketplace.slots import mix_in_fresh
from serving.fortnight.client import Question, Reply
from serving.fortnight.visits import Visits, draw_appetite


class Asks(Protocol):
    """Whoever answers questions to a service; see `client.RouterClient.ask`."""

    def __call__(self, service: str, questions: Sequence[Question]) -> list[Reply]:
        """Return a reply per question, in order."""


class HomePages(NamedTuple):
    """Suggested searches on a day's home pages, one row per visit.

    Attributes:
        member: int64[n].
        replies: of the suggestions service.
        taken: the suggestion that was taken, else "".
        query: what is searched for: the suggestion, else the member's own words, else "".
    """

    member: NDArray[np.int64]
    replies: list[Reply]
    taken: list[str]
    query: list[str]


class Pages(NamedTuple):
    """Postings that were served, one row per page.

    Attributes:
        replies: of the service that chose or ordered them.
        member: int64[p].
        postings: of each page, from the top.
        luck: float32[LUCK, p, places].
        appetite: float64[p].
    """

    replies: list[Reply]
    member: NDArray[np.int64]
    postings: list[list[int]]
    luck: NDArray[np.float32]
    appetite: NDArray[np.float64]


class Uses:
    """Puts what services answer before members.

    Args:
        population: who visits.
        ask: who answers.
    """

    def __init__(self, population: Population, ask: Asks):
        self._population, self._ask = population, ask
        self._engine = SearchEngine(population)
        self._names: list[str] = population.member_ids.to_pylist()
        self._items: list[str] = population.texts.items.to_pylist()
        self._rows = {name: row for row, name in enumerate(self._names)}
        self._postings = {name: row for row, name in enumerate(self._items)}

    def home_pages(self, visits: Visits, known: set[tuple[int, str]]) -> HomePages:
        """Show suggested searches; a member takes the first that he looks at and likes.

        Args:
            visits: of the day.
            known: (member, text) of suggestions taken before: nobody takes one twice. Those of the
                day are added.
        """
        k = visits.of_suggestions.shape[1]
        questions = [
            Question(name, {"member_id": name, "surface": "explore", "k": k})
            for name in map(self._names.__getitem__, visits.member)
        ]
        replies = self._ask("suggestions", questions)
        shown = [_texts(reply)[:k] for reply in replies]
        size = np.array([len(texts) for texts in shown], np.int64)
        visit = np.repeat(np.arange(len(shown)), size)
        position = np.arange(len(visit)) - np.repeat(np.cumsum(size) - size, size)
        texts = [text for each in shown for text in each]
        fit = self._engine.promise(texts, visits.member[visit])
        liked = opens(visits.of_suggestions[visit, position], position=position, relevance=fit)
        taken = [""] * len(shown)
        for row in np.flatnonzero(liked):
            at, choice = int(visit[row]), (int(visits.member[visit[row]]), texts[row])
            if not taken[at] and choice not in known:
                taken[at] = texts[row]
                known.add(choice)
        query = [new or own for new, own in zip(taken, visits.query, strict=True)]
        return HomePages(visits.member, replies, taken, query)

    def recommendations(self, visits: Visits) -> Pages:
        """Show each visitor of the day the postings selected for him, at his first visit."""
        _, first = np.unique(visits.member, return_index=True)
        row = np.sort(first)
        places = visits.of_recommended.shape[2]
        names = [self._names[member] for member in visits.member[row]]
        questions = [Question(name, {"member_id": name, "k": places}) for name in names]
        replies = self._ask("candidates", questions)
        selected = [[self._postings[item] for item in _selected(reply)] for reply in replies]
        luck, appetite = visits.of_recommended[:, row], visits.appetite[row]
        return Pages(replies, visits.member[row], selected, luck, appetite)

    def results_pages(self, visits: Visits, query: list[str], rng: np.random.Generator) -> Pages:
        """Search for each visit's query, and let the ranker order what the engine finds."""
        found = self._engine.find(query)
        nothing = found[:, 0] == NOTHING
        scene = self._scene(rng)
        # Drawn for every visit, so that one visit's luck does not depend on whether others search.
        mixed = mix_in_fresh(scene, np.where(nothing[:, None], 0, found).ravel())
        row = np.flatnonzero(~nothing)
        candidates = [list(dict.fromkeys(mixed.reshape(found.shape)[at].tolist())) for at in row]
        questions = [
            Question(
                self._names[visits.member[at]],
                {
                    "member_id": self._names[visits.member[at]],
                    "query": query[at],
                    "items": [self._items[posting] for posting in own],
                },
            )
            for at, own in zip(row, candidates, strict=True)
        ]
        replies = self._ask("ranker", questions)
        ranked = [[self._postings[item] for item in _ranked(reply)] for reply in replies]
        return Pages(
            replies, visits.member[row], ranked, visits.of_places[:, row], visits.appetite[row]
        )

    def notifications(
        self,
        assigned: Sequence[Assigned],
        *,
        fresh: Sequence[int],
        named: int,
        rng: np.random.Generator,
    ) -> Pages:
        """Announce fresh postings, at most one a day to a member.

        Whom a posting is announced to is asked once per arm, with a unit of that arm, and only
        members of the arm are notified: so an arm's members get what its variant answers.

        Args:
            assigned: arm of each member.
            fresh: postings.
            named: members to ask for, of whom an arm has its share.
            rng: decides what nothing served has a say in.
        """
        arms: dict[tuple[str, str], list[int]] = defaultdict(list)
        for row, own in enumerate(assigned):
            arms[own.experiment or "", own.variant].append(row)
        asked = [(arm, posting) for posting in fresh for arm in arms]
        questions = [
            Question(
                self._names[arms[arm][posting % len(arms[arm])]],
                {"job": self._items[posting], "k": named},
            )
            for arm, posting in asked
        ]
        replies = self._ask("audience", questions)
        best: dict[int, tuple[float, int]] = {}
        for at, (reply, (arm, _)) in enumerate(zip(replies, asked, strict=True)):
            for candidate in _members(reply):
                row, score = self._rows[candidate["member_id"]], candidate["score"]
                own = assigned[row]
                if (own.experiment or "", own.variant) == arm and score > best.get(row, (-1e9, 0))[
                    0
                ]:
                    best[row] = score, at
        luck = rng.random((LUCK, len(assigned), 1), dtype=np.float32)
        member = np.array(sorted(best), np.int64)
        everybody = np.arange(len(assigned))
        appetite = draw_appetite(self._population, everybody, rng)
        return Pages(
            replies=[replies[best[row][1]] for row in member.tolist()],
            member=member,
            postings=[[asked[best[row][1]][1]] for row in member.tolist()],
            luck=luck[:, member],
            appetite=appetite[member],
        )

    def _scene(self, rng: np.random.Generator) -> Scene:
        own = self._population
        return Scene(own.catalogue, own.config, own.members, rng)


def _texts(reply: Reply) -> list[str]:
    return [own["text"] for own in (reply.prediction or {}).get("suggestions", [])]


def _ranked(reply: Reply) -> list[str]:
    return (reply.prediction or {}).get("ranked", [])


def _selected(reply: Reply) -> list[str]:
    return [own["item_id"] for own in (reply.prediction or {}).get("candidates", [])]


def _members(reply: Reply) -> list[dict]:
    return (reply.prediction or {}).get("members", [])
