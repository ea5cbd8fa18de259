"""How ranking lists are made of impressions, and how rankers learn from them."""

from typing import Literal, Self

from pydantic import Field, model_validator

from components.config import Config


class ListsConfig(Config):
    """Which pages become lists.

    Attributes:
        channels: of the pages, lower case.
        gains: of each outcome; an outcome without one has none.
        query_words: words of a query that are kept.
        title_words: words of a title that are kept.
        company_words: words of a company's name that are kept.
        most_per_member: lists of a training member, drawn from all of his; every one when unset.
    """

    channels: tuple[str, ...] = Field(default=("search",), min_length=1)
    gains: dict[str, float] = {"APPLY": 3, "SAVE": 2, "LONG_VIEW": 1, "VIEW": 1}
    query_words: int = Field(default=8, ge=1)
    title_words: int = Field(default=10, ge=1)
    company_words: int = Field(default=6, ge=1)
    most_per_member: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _some_outcome_has_a_gain(self) -> Self:
        if not any(gain > 0 for gain in self.gains.values()) or min(self.gains.values()) < 0:
            raise ValueError("gains: none may be negative and one must be positive")
        return self


class RankerConfig(Config):
    """Shape and training of the deep and wide ranker; the defaults are the paper's (section 5.3).

    The paper leaves open the widths of the deep, the wide and the fusion part, and regularisation.

    Attributes:
        word_dimension: length of a word's vector and width of the Transformer layer.
        heads: attention heads; they divide `word_dimension`.
        feed_forward: width of the Transformer layer's feed-forward part.
        deep_units: of the fully connected layers over the texts' embeddings.
        wide_units: of the tanh layer over continuous and categorical features.
        tower_units: of the fully connected layers over the activity vector.
        fusion_units: of the layers after the concatenation; at least one (see `model`).
        meeting: how the tower meets a document: "concatenation" as published, or "product", which
            adds the product of the tower and a projection of the document, unit by unit. Thousands
            of members teach the layers after a concatenation nothing; measured in the generated
            marketplace without features of the member's history, the tower adds .011 of NDCG by
            product and .001 by concatenation.
        leave_out: first letters of continuous features that are not read, to measure what they
            bring, or what of it the tower brings in their place.
        dropout: after each layer of the deep and the fusion part.
        tower_dropout: after each layer of the tower.
        drop_vectors: share of a batch's members whose vector is hidden, so that ranking without
            one is learnt too.
        drop_codes: share of the categorical codes that are hidden in training as unknown ones are,
            so that rare ones are not learnt by heart.
        clip: furthest that a continuous feature may lie from the mean, in deviations.
        batch_norm_momentum: of the averages that batch normalisation ranks with.
        learning_rate: of Adagrad.
        weight_decay: share of each weight matrix that is taken away in a step, per learning rate.
        averaging: share of the running average of the weights that every fifth step keeps; it is
            then the average that is evaluated and kept, which few noisy lists ask for. 0 keeps the
            weights of one step.
        batch: lists in a step, over all workers.
        list_size: documents of a training list that are learnt from, from the top.
        steps: at most.
        evaluate_every: steps between two rankings of the validation lists.
        patience: evaluations without a better NDCG after which training ends.
        topn: places that the validation NDCG counts.
        checkpoint_every: steps between two checkpoints.
        strategy: "none"; "mirrored", over this machine's devices; "multi_worker", over the
            processes that the environment variable TF_CONFIG lists.
    """

    word_dimension: int = Field(default=100, ge=1)
    heads: int = Field(default=10, ge=1)
    feed_forward: int = Field(default=400, ge=1)
    deep_units: tuple[int, ...] = (512, 256, 128, 128)
    wide_units: int = Field(default=128, ge=1)
    tower_units: tuple[int, ...] = (512, 256, 256, 128, 128)
    fusion_units: tuple[int, ...] = Field(default=(128,), min_length=1)
    meeting: Literal["concatenation", "product"] = "concatenation"
    leave_out: tuple[str, ...] = ()
    dropout: float = Field(default=0.0, ge=0, lt=1)
    tower_dropout: float = Field(default=0.0, ge=0, lt=1)
    drop_vectors: float = Field(default=0.05, ge=0, lt=1)
    drop_codes: float = Field(default=0.0, ge=0, le=1)
    clip: float = Field(default=5.0, gt=0)
    batch_norm_momentum: float = Field(default=0.99, ge=0, lt=1)
    learning_rate: float = Field(default=0.1, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    averaging: float = Field(default=0.0, ge=0, lt=1)
    batch: int = Field(default=64, ge=1)
    list_size: int = Field(default=25, ge=2)
    steps: int = Field(default=360_000, ge=1)
    evaluate_every: int = Field(default=1000, ge=1)
    patience: int = Field(default=10, ge=1)
    topn: int = Field(default=25, ge=1)
    checkpoint_every: int = Field(default=1000, ge=1)
    strategy: Literal["none", "mirrored", "multi_worker"] = "none"

    @model_validator(mode="after")
    def _heads_divide_the_words_dimension(self) -> Self:
        if self.word_dimension % self.heads:
            raise ValueError(
                f"word_dimension {self.word_dimension} is not a multiple of heads {self.heads}"
            )
        return self


class TreesConfig(Config):
    """LambdaMART, the ranker beside which the deep and wide one is read.

    Attributes:
        trees: at most.
        patience: trees without a better validation NDCG after which training ends.
        topn: places that the validation NDCG counts.
        learning_rate: of each tree.
        leaves: of a tree, at most.
        leaf_documents: documents of a leaf, at least.
        l2: pull of a leaf's value towards 0.
        feature_share: features that a tree may look at.
        document_share: documents that a tree is built on.
    """

    trees: int = Field(default=1000, ge=1)
    patience: int = Field(default=150, ge=1)
    topn: int = Field(default=25, ge=1)
    learning_rate: float = Field(default=0.03, gt=0)
    leaves: int = Field(default=15, ge=2)
    leaf_documents: int = Field(default=200, ge=1)
    l2: float = Field(default=10.0, ge=0)
    feature_share: float = Field(default=0.4, gt=0, le=1)
    document_share: float = Field(default=0.8, gt=0, le=1)
