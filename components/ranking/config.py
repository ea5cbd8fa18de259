"""How ranking lists are made of impressions, and how rankers learn from them."""

from components.config import Config


class ListsConfig(Config):
    """Which pages become lists.

    Attributes:
        channels: of the pages, lower case.
        gains: of each outcome; an outcome without one has none.
    """

    channels: tuple[str, ...] = ("search",)
    gains: dict[str, float] = {"APPLY": 3, "SAVE": 2, "LONG_VIEW": 1, "VIEW": 1}


class RankerConfig(Config):
    """Shape and training of the deep and wide ranker."""
