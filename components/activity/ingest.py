"""One way in for every source."""

from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from components.activity.config import (
    ActivityConfig,
    FilesConfig,
    MindConfig,
    ShoppingConfig,
    Vertical,
)
from components.activity.schema import ActivityError
from components.files import whole_directory


def ingest_source(
    source: dict[str, Any],
    vertical: Vertical,
    config: ActivityConfig,
    *,
    feed: Path,
    truth: Path,
    seed: int,
) -> dict[str, Any]:
    """Write the feed of a source of any kind, and the truth behind it.

    Args:
        source: settings of the source; `kind` says which.
        vertical: which actions exist.
        config: how many bad rows are too many.
        feed: directory to write.
        truth: directory to write, apart; left empty where nobody knows the truth.
        seed: of a generated source.

    Returns:
        What the feed's `ingest.json` holds.

    Raises:
        ActivityError: an unknown kind, or what the source raises.
    """
    kind = source["kind"]
    if kind == "jobs":
        from components.marketplace.config import MarketplaceConfig
        from components.marketplace.generate import generate

        return generate(MarketplaceConfig(**source), feed, truth, seed=seed)
    with whole_directory(truth):
        pass
    limit = config.quarantine_limit
    if kind == "files":
        from components.activity.sources import ingest_files

        summary = ingest_files(FilesConfig(**source), vertical, feed, quarantine_limit=limit)
    elif kind == "shopping":
        from components.activity.shopping import ingest_shopping

        summary = ingest_shopping(ShoppingConfig(**source), vertical, feed, quarantine_limit=limit)
    elif kind == "mind":
        from components.activity.mind import ingest_mind

        summary = ingest_mind(MindConfig(**source), vertical, feed, quarantine_limit=limit)
    elif kind == "news":
        from components.activity.mind import ingest_mind
        from components.newsroom.config import NewsroomConfig
        from components.newsroom.generate import generate_news

        feed.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=feed.parent, prefix=".mind-") as mind:
            generate_news(NewsroomConfig(**source), Path(mind, "news"), seed=seed)
            given = MindConfig(path=f"{mind}/news")
            summary = ingest_mind(given, vertical, feed, quarantine_limit=limit)
    else:
        raise ActivityError(f"source.kind: {kind!r} is not jobs, files, shopping, mind or news")
    return asdict(summary)
