"""How behaviour is counted into features."""

from pydantic import Field

from components.config import Config


class FeaturesConfig(Config):
    """Smoothing, memory and vocabulary of the feature tables.

    Attributes:
        smoothing: times shown at which a rate of its own weighs as much as the rate above it.
        history: most recent distinct titles, and queries, of a member that are compared with a
            posting, by kind of action.
        minimum_category_count: times that training members were shown a company or a title, or
            results of a query's core, before it is a category of its own. Rankers learn rarer ones
            by heart: LambdaMART's NDCG@25 on the quickstart's data is .698 with 50, .711 with 5000.
        minimum_headline_members: training members who have a headline before it is a category.
        minimum_word_count: training texts that a word must be in to have an id.
        vocabulary: most words with an id.
    """

    smoothing: float = Field(default=20.0, gt=0)
    history: int = Field(default=20, ge=1, le=1_000)
    minimum_category_count: int = Field(default=5_000, ge=1)
    minimum_headline_members: int = Field(default=50, ge=1)
    minimum_word_count: int = Field(default=2, ge=1)
    vocabulary: int = Field(default=100_000, ge=2)
