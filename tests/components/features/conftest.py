import pytest

from components.features.config import FeaturesConfig
from components.features.tables import FeatureTables, build_tables
from tests.components.features.feed import Feed


@pytest.fixture
def feed(tmp_path):
    return Feed(tmp_path / "source")


@pytest.fixture
def open_tables(tmp_path):
    """Write a feed, build its tables and open them."""
    config = FeaturesConfig(smoothing=2, minimum_category_count=1, minimum_word_count=1)

    def build(feed, *, cut=True):
        home = feed.write()
        target = tmp_path / f"tables-{feed.writes}"
        build_tables(
            home / "feed",
            home / "sessions",
            target,
            config,
            examples=home / "examples" if cut else None,
        )
        return FeatureTables.open(target)

    return build
