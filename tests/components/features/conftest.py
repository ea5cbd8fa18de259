import pytest

from components.activity.split import TEST, TRAIN, VALIDATION
from components.features.config import FeaturesConfig
from components.features.tables import FeatureTables, build_tables
from tests.components.features.feed import NURSE, SUGGESTED, WELDER, Feed

SMALL = FeaturesConfig(
    smoothing=2, minimum_category_count=1, minimum_headline_members=1, minimum_word_count=1
)


@pytest.fixture
def feed(tmp_path):
    return three_members(tmp_path / "source")


@pytest.fixture
def build():
    """Write a feed and build its tables."""

    def opened(feed, *, cut=True):
        return FeatureTables.open(built(feed, cut=cut))

    return opened


@pytest.fixture(scope="package")
def directory(tmp_path_factory):
    """Tables of the three members, for those who only look."""
    return built(three_members(tmp_path_factory.mktemp("tables")))


@pytest.fixture(scope="package")
def tables(directory):
    return FeatureTables.open(directory)


def three_members(home):
    """Ann trains, bob is tested, cat validates; each has a context and a target."""
    feed = Feed(home)
    feed.member("ann", TRAIN, [NURSE, SUGGESTED], [WELDER])
    feed.member("bob", TEST, [WELDER], [NURSE])
    feed.member("cat", VALIDATION, [NURSE], [NURSE, SUGGESTED])
    return feed


def built(feed, *, cut=True):
    """Write a feed and build its tables; return their directory."""
    home = feed.write()
    target = home / "tables"
    examples = home / "examples" if cut else None
    build_tables(home / "feed", home / "sessions", target, SMALL, examples=examples)
    return target
