"""A feed in which some members are hired wherever they apply, and others never."""

from types import SimpleNamespace

import numpy as np
import pytest

from components.activity.split import TEST, TRAIN, VALIDATION
from components.features.config import FeaturesConfig
from components.features.tables import build_tables
from components.hires.config import HiresConfig
from components.hires.training import train_hires
from tests.components.features.feed import Feed

ITEMS = ("j1", "j2", "j3")
SMALL = HiresConfig(
    horizon_days=2, minimum_hires=10, leaf_applications=10, l2=1, resamples=50, bins=4, folds=3
)


@pytest.fixture(scope="package")
def places(tmp_path_factory):
    """A feed of 120 members, who apply once a day for six days and then search for two more."""
    feed = Feed(tmp_path_factory.mktemp("hires"))
    random = np.random.default_rng(0)
    for number in range(120):
        member, good = f"m{number:03d}", number % 2 == 0
        side = (TRAIN, TRAIN, TRAIN, VALIDATION, TEST, TEST)[number // 2 % 6]
        items = random.choice(ITEMS, 6)
        days = [(None, {item: "APPLY"}) for item in items]
        feed.member(member, side, days[:3], [*days[3:], ("nurse", {"j1": ""}), ("nurse", {})])
        for day, item in enumerate(items, start=1):
            hired = random.random() < (0.7 if good else 0.1)
            response = "confirmed_hire" if hired else "rejected"
            feed.answer(member, item, response, applied=day, answered=day + 0.5)
    return made(feed)


def made(feed):
    """Write a feed and build its tables."""
    home = feed.write()
    places = SimpleNamespace(
        feed=home / "feed",
        sessions=home / "sessions",
        examples=home / "examples",
        features=home / "features",
        hires=home / "hires",
    )
    build_tables(
        places.feed, places.sessions, places.features, FeaturesConfig(), examples=places.examples
    )
    return places


def train(places, target=None, config=SMALL, seed=1):
    """Train on what lies in some places."""
    return train_hires(
        places.feed,
        places.sessions,
        places.features,
        places.examples,
        target or places.hires,
        config,
        seed=seed,
    )
