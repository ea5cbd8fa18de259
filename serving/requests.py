"""What each service is asked, and every limit: the one source of checks and OpenAPI page."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    create_model,
    model_validator,
)

from components.activity.quarantine import EARLIEST, LATEST
from serving.errors import BadRequest
from serving.limits import (
    ACTIONS,
    ITEMS,
    MOST_CANDIDATES,
    MOST_MEMBERS,
    MOST_SUGGESTIONS,
    NAME,
    SEEDS,
    TEXT,
    Limits,
)

Name = Annotated[str, StringConstraints(min_length=1, max_length=NAME)]
Text = Annotated[str, StringConstraints(max_length=TEXT)]
Said = Annotated[str, StringConstraints(min_length=1, max_length=TEXT)]
Time = Annotated[int, Field(ge=EARLIEST, le=LATEST, description="microseconds UTC")]
Tensor = Literal["text", "json", "integer"]
Surface = Literal["explore", "any"]


class Strict(BaseModel):
    """No unknown field, no text where a number belongs."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Instance(Strict):
    """One question of a request.

    Attributes:
        tensors: how the v2 protocol carries each field, one element per instance.
        one_of: sets of fields of which exactly one must be given.
    """

    tensors: ClassVar[Mapping[str, Tensor]]
    one_of: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        given = [name for name in self.one_of if name in self.model_fields_set]
        if self.one_of and len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(self.one_of)}")
        return self


def _either(*names: str) -> ConfigDict:
    return ConfigDict(json_schema_extra={"oneOf": [{"required": [name]} for name in names]})


class Action(Strict):
    """What somebody did."""

    action: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    query: Text | None = None
    company: Text | None = None
    title: Text | None = None
    ts: Time | None = None
    channel: Annotated[str, StringConstraints(max_length=64)] | None = None
    item_id: Name | None = None


class EncoderInstance(Instance):
    """A trail, all of it or its most recent actions, or a text."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": [name]} for name in ("actions", "text")],
            "dependentRequired": {"recent": ["actions"]},
        }
    )
    tensors = {"actions": "json", "text": "text", "recent": "integer"}
    one_of = ("actions", "text")

    actions: list[Action] = Field(default=[], min_length=1, max_length=ACTIONS)
    text: Said = ""
    recent: int | None = Field(
        default=None,
        ge=1,
        le=ACTIONS,
        description="of how many actions, the last ones, the vector is made: in-session",
    )

    @model_validator(mode="after")
    def _recent_are_actions(self) -> Self:
        if "recent" in self.model_fields_set and not self.actions:
            raise ValueError("recent: give it with actions only")
        return self


class SuggestionsInstance(Instance):
    """A member of the store, or the trail of a visitor."""

    model_config = _either("member_id", "actions")
    tensors = {"member_id": "text", "actions": "json", "surface": "text", "k": "integer"}
    one_of = ("member_id", "actions")

    member_id: Name = ""
    actions: list[Action] = Field(default=[], min_length=1, max_length=ACTIONS)
    surface: Surface = "any"
    k: int = Field(default=5, ge=1, le=MOST_SUGGESTIONS)


class RankerInstance(Instance):
    """A search and the postings that were found for it."""

    tensors = {"member_id": "text", "query": "text", "items": "json", "ts": "integer"}

    items: list[Name] = Field(min_length=1, max_length=ITEMS)
    member_id: Name | None = None
    query: Text | None = None
    ts: Time | None = None


class AudienceInstance(Instance):
    """A posting by its id or its title, or members whose like are sought."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": [name]} for name in ("job", "title", "members")],
            "dependentRequired": {"company": ["title"]},
        }
    )
    tensors = {
        "job": "text",
        "title": "text",
        "company": "text",
        "members": "json",
        "k": "integer",
    }
    one_of = ("job", "title", "members")

    job: Name = ""
    title: Said = ""
    company: Text | None = None
    members: list[Name] = Field(default=[], min_length=1, max_length=SEEDS)
    k: int | None = Field(default=None, ge=1, le=MOST_MEMBERS)

    @model_validator(mode="after")
    def _company_has_a_title(self) -> Self:
        if "company" in self.model_fields_set and not self.title:
            raise ValueError("company: give it with a title only")
        return self


class CandidatesInstance(Instance):
    """A member, or the trail of a visitor."""

    model_config = _either("member_id", "actions")
    tensors = {"member_id": "text", "actions": "json", "k": "integer"}
    one_of = ("member_id", "actions")

    member_id: Name = ""
    actions: list[Action] = Field(default=[], min_length=1, max_length=ACTIONS)
    k: int = Field(default=100, ge=1, le=MOST_CANDIDATES)


class FieldsInstance(Instance):
    """A search as the ranker's network reads it: what a transformer sends to its predictor."""

    tensors = {}

    query_words: list[int]
    title_words: list[list[int]] = Field(min_length=1, max_length=ITEMS)
    company_words: list[list[int]] = Field(min_length=1, max_length=ITEMS)
    continuous: list[list[Annotated[float, Field(allow_inf_nan=False)]]]
    categorical: list[list[int]]
    vector: list[Annotated[float, Field(allow_inf_nan=False)]] | None = None


def body_of(instance: type[Instance], limits: Limits, **more: Any) -> type[BaseModel]:
    """Make the model of a v1 body: `instances`, and what else stands beside them.

    Args:
        instance: model of one instance.
        limits: instances at most.
        more: further fields as pydantic's `create_model` takes them.
    """
    listed = Annotated[list[instance], Field(min_length=1, max_length=limits.instances)]  # type: ignore[valid-type]
    name = instance.__name__.removesuffix("Instance") + "Request"
    return create_model(name, __base__=Strict, instances=(listed, ...), **more)


def read_body(model: type[BaseModel], body: Any) -> Any:
    """Check a v1 body.

    Raises:
        BadRequest: names the first field that is wrong, such as `instances[2].surface`.
    """
    if not isinstance(body, dict):
        raise BadRequest("body: send a JSON object as application/json")
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise BadRequest(said(error)) from None


def said(error: ValidationError) -> str:
    """Say the first thing that is wrong with a body, and where."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ""
    for step in first["loc"]:
        where += f"[{step}]" if isinstance(step, int) else f".{step}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{where.lstrip('.') or 'body'}: {message[:1].lower()}{message[1:]}"
