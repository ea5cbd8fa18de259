"""A small marketplace, and services that answer as well or as badly as a test wants."""

import socket
import uuid
from types import SimpleNamespace

import numpy as np
import pytest

from components.experiments.experiments import load_experiments
from components.marketplace.config import MarketplaceConfig
from components.marketplace.generate import generate
from components.marketplace.population import Population
from components.marketplace.response import relevance
from serving.fortnight.client import Reply
from serving.fortnight.config import FortnightConfig
from serving.fortnight.replay import Replay
from serving.fortnight.responding import Judge

SEED = 3
CONFIG = FortnightConfig(days=2, visits=2.0, postings=10, named=30)
MANIFEST = """
apiVersion: intent-store.dev/v1alpha1
kind: Experiment
metadata: {{name: {service}-test}}
spec:
  service: {service}
  salt: {salt}
  control: bad
  variants:
    - {{name: bad, inferenceService: {service}-bad}}
    - {{name: good, inferenceService: {service}-good, percent: 50}}
"""


def market_config():
    """Sizes of the marketplace of these tests."""
    return MarketplaceConfig(
        members=600, chunk=256, occupations=12, postings=1_500, companies=64, workers=1
    )


def free_port():
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="package")
def market(tmp_path_factory):
    """A generated marketplace of 600 members."""
    home = tmp_path_factory.mktemp("market")
    config = market_config()
    generate(config, home / "feed", home / "truth", seed=SEED)
    population = Population.redraw(config, home / "truth", seed=SEED)
    return SimpleNamespace(feed=home / "feed", truth=home / "truth", population=population)


@pytest.fixture
def experiments(tmp_path):
    """Write one experiment per service, and return their directory."""

    def write(salt="a"):
        directory = tmp_path / f"experiments-{salt}"
        directory.mkdir(exist_ok=True)
        for service in ("suggestions", "ranker", "audience", "candidates"):
            text = MANIFEST.format(service=service, salt=f"{service}-{salt}")
            (directory / f"{service}.yaml").write_text(text)
        return directory

    return write


@pytest.fixture
def replay(market, experiments, tmp_path):
    """Make a replay; a test says who answers."""

    def make(services, *, state="state", config=CONFIG, salt="a"):
        judge = Judge(
            market.population,
            feed=market.feed,
            features=tmp_path / "none",
            hires=tmp_path / "none",
        )
        directory = experiments(salt)
        return Replay(
            market.population,
            judge,
            services(directory) if callable(services) else services,
            experiments=directory,
            state=tmp_path / state,
            config=config,
        )

    return make


class Services:
    """Answers by the truth where a variant is good, and at random where it is bad.

    Args:
        population: who asks.
        directory: of the experiments.
        good: names of the variants that know the truth.
    """

    def __init__(self, population, directory, good=("good",)):
        self.population, self.good = population, good
        self.experiments = load_experiments(directory)
        self.rows = {name: row for row, name in enumerate(population.member_ids.to_pylist())}
        self.items = {name: row for row, name in enumerate(population.texts.items.to_pylist())}
        self.asked = []

    def ask(self, service, questions):
        assigned = self.experiments.assign(service, [question.unit for question in questions])
        self.asked.append((service, questions))
        return [
            self.reply(service, question, own)
            for question, own in zip(questions, assigned, strict=True)
        ]

    def reply(self, service, question, own):
        answer = getattr(self, service)(question.instance, own.variant in self.good)
        return Reply(answer, 200, uuid.uuid4().hex, own.experiment or "", own.variant, 0.001)

    def suggestions(self, asked, good):
        queries, members = self.population.catalogue.queries, self.population.members
        row = self.rows[asked["member_id"]]
        luck = np.random.default_rng(row)
        if good:
            goal = members.goals[row] - 1
            wish = (members.occupation, members.speciality, members.level)
            numbers = queries.forms[*(own[row, goal] for own in wish), 5:10, 0]
        else:
            numbers = luck.choice(len(queries.texts), 5)
        texts = [queries.texts[number] for number in numbers]
        return {"suggestions": [{"text": t, "kind": "query", "score": 1.0} for t in texts]}

    def ranker(self, asked, good):
        fit = self.fit(
            [self.rows[asked["member_id"]]] * len(asked["items"]),
            [self.items[item] for item in asked["items"]],
        )
        order = np.argsort(-fit, kind="stable") if good else range(len(fit))
        return {"ranked": [asked["items"][at] for at in order]}

    def audience(self, asked, good):
        everybody = np.arange(len(self.rows))
        score = self.fit(everybody, np.full(len(everybody), self.items[asked["job"]]))
        order = np.argsort(-score if good else score, kind="stable")[: asked["k"]]
        names = self.population.member_ids.take(order.tolist()).to_pylist()
        return {
            "members": [
                {"member_id": name, "score": -float(place)} for place, name in enumerate(names)
            ]
        }

    def candidates(self, asked, good):
        postings = np.arange(len(self.items))
        fit = self.fit(np.full(len(postings), self.rows[asked["member_id"]]), postings)
        order = np.argsort(-fit if good else fit, kind="stable")[: asked["k"]]
        items = self.population.texts.items.take(order.tolist()).to_pylist()
        return {"candidates": [{"item_id": item, "score": 0.5, "why": []} for item in items]}

    def fit(self, member, posting):
        members, who = self.population.members, np.array(member)
        return relevance(
            self.population.catalogue,
            members,
            member=who,
            goal=members.goals[who] - 1,
            posting=np.array(posting),
        )


@pytest.fixture
def services(market):
    """Make services for a directory of experiments."""

    def make(directory, good=("good",)):
        made.append(Services(market.population, directory, good))
        return made[-1].ask

    made: list[Services] = []
    make.made = made
    return make
