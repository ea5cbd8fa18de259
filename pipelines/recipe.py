"""A recipe: one YAML file that fixes every size and hyper-parameter of a run, checked on load."""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self, get_args

import yaml
from pydantic import (
    BaseModel,
    Discriminator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from components.activity.config import (
    JOBS,
    NEWS,
    SHOPPING,
    ActivityConfig,
    FilesConfig,
    MindConfig,
    ShoppingConfig,
    SplitConfig,
    Vertical,
)
from components.audience.config import AudienceConfig
from components.baselines.config import BaselinesConfig, FastTextConfig
from components.candidates.config import CandidatesConfig
from components.config import Config
from components.encoder.config import EmbedConfig, EncoderConfig, FinetuneConfig, PretrainConfig
from components.errors import IntentError
from components.evaluation.config import EvaluationConfig
from components.extreme.config import SliceConfig
from components.features.config import FeaturesConfig
from components.hires.config import HiresConfig
from components.labels.config import ExamplesConfig
from components.marketplace.config import MarketplaceConfig
from components.neighbours.config import NeighboursConfig
from components.news.config import NewsConfig
from components.newsroom.config import NewsroomConfig
from components.ranking.config import ListsConfig, RankerConfig, TreesConfig
from components.text.config import TextConfig

RECIPES = Path(__file__).parent / "recipes"
VERTICALS = {"jobs": JOBS, "files": JOBS, "shopping": SHOPPING, "mind": NEWS, "news": NEWS}
OF_NEWS = ("mind", "news")

Source = Annotated[
    MarketplaceConfig | ShoppingConfig | MindConfig | NewsroomConfig | FilesConfig,
    Discriminator("kind"),
]


class RecipeError(IntentError):
    """A recipe that does not exist or cannot work; the message names the key."""


class Recipe(Config):
    """Every setting of a run, by the room that reads it.

    Attributes:
        name: names the run's directory.
        description: one line on what the recipe is for.
        seed: of everything that is drawn.
        source: where actions come from.
        vertical: which actions exist; that of the source unless set.
        activity: how actions become sessions.
        split: which members are kept for validation and test.
        text: vocabulary and documents.
        examples: contexts, targets and labels.
        encoder: shape of the network.
        pretrain: masked language modelling.
        finetune: training on the labels.
        embed: activity vectors.
        fasttext: word vectors of the baseline.
        baselines: methods of suggestion that are set beside ours.
        slice: extreme classification.
        features: what rankers read of members, queries and postings.
        lists: which pages rankers learn from.
        ranker: the deep and wide ranker.
        trees: its peer, LambdaMART.
        hires: P(confirmed hire | application).
        neighbours: search for similar members.
        audience: whom a posting's notification goes to.
        candidates: which postings are recommended to a member.
        news: rankers of news, where the source is of news.
        evaluation: what is measured.
        appendix: a recipe of news that is run in small beside this one, as in the paper's
            Appendix A; a name, a path or YAML text of one will do.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    description: str = ""
    seed: int = Field(default=1, ge=0, lt=2**31)
    source: Source
    vertical: Vertical
    activity: ActivityConfig = ActivityConfig()
    split: SplitConfig = SplitConfig()
    text: TextConfig = TextConfig()
    examples: ExamplesConfig = ExamplesConfig()
    encoder: EncoderConfig = EncoderConfig()
    pretrain: PretrainConfig = PretrainConfig()
    finetune: FinetuneConfig = FinetuneConfig()
    embed: EmbedConfig = EmbedConfig()
    fasttext: FastTextConfig = FastTextConfig()
    baselines: BaselinesConfig = BaselinesConfig()
    slice: SliceConfig = SliceConfig()
    features: FeaturesConfig = FeaturesConfig()
    lists: ListsConfig = ListsConfig()
    ranker: RankerConfig = RankerConfig()
    trees: TreesConfig = TreesConfig()
    hires: HiresConfig = HiresConfig()
    neighbours: NeighboursConfig = NeighboursConfig()
    audience: AudienceConfig = AudienceConfig()
    candidates: CandidatesConfig = CandidatesConfig()
    news: NewsConfig = NewsConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    appendix: Self | None = None

    @field_validator("appendix", mode="before")
    @classmethod
    def _without_one(cls, appendix: Any) -> Any:
        if isinstance(appendix, dict) and appendix.get("appendix"):
            raise ValueError("has an appendix of its own")
        return appendix or None  # Kubeflow carries no None, so sections() has {} for none.

    @model_validator(mode="after")
    def _sections_fit_together(self) -> Self:
        if self.split.test == 0:
            raise ValueError("split.test is 0, which leaves no members to evaluate on")
        if self.appendix and self.appendix.source.kind not in OF_NEWS:
            raise ValueError(f"appendix {self.appendix.name} must be of news")
        return self

    def sections(self) -> dict[str, Any]:
        """Give each section as plain data, as the steps receive it: kfp carries no None."""
        return {"appendix": {}, **self.model_dump(mode="json", exclude_none=True)}


def recipe_names() -> list[str]:
    """List the recipes that come with the product."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(recipe: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Load and check a recipe.

    Args:
        recipe: a name (`quickstart`), a path to a YAML file, or YAML text.
        overrides: dotted keys and their values, as data or as written in YAML:
            `{"pretrain.steps": "10"}`.

    Raises:
        RecipeError: naming the recipe or the key, with what was probably meant.
    """
    origin = _origin(recipe)
    settings = _read_settings(recipe)
    for key, value in (overrides or {}).items():
        _read_appendix(settings)
        _override(settings, key, value)
    _read_appendix(settings)
    for part in (settings, settings.get("appendix")):
        if isinstance(part, dict):
            _default_vertical(part)
    try:
        return Recipe.model_validate(settings)
    except ValidationError as error:
        raise RecipeError("\n".join(_explain(origin, error))) from error


def read_recipe(recipe: str) -> str:
    """Give a recipe's YAML text from its name, its path or that text itself."""
    if _is_text(recipe):
        return recipe
    if recipe in recipe_names():
        return (RECIPES / f"{recipe}.yaml").read_text()
    try:
        return Path(recipe).read_text()
    except (OSError, UnicodeDecodeError) as error:
        names = recipe_names()
        raise RecipeError(
            f"no recipe {recipe!r}{_probably_meant(recipe, names)}: "
            f"neither a name ({', '.join(names)}) nor a YAML file"
        ) from error


def _read_settings(recipe: str) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(read_recipe(recipe))
    except yaml.YAMLError as error:
        raise RecipeError(f"{_origin(recipe)}: not YAML: {error}") from error
    if not isinstance(settings, dict):
        raise RecipeError(
            f"{_origin(recipe)}: a recipe is a mapping of sections, not {settings!r:.60}"
        )
    return settings


def _read_appendix(settings: dict[str, Any]) -> None:
    """Put the settings of a recipe in the place of its name, so that overrides reach them."""
    appendix = settings.get("appendix")
    if isinstance(appendix, str):
        settings["appendix"] = _read_settings(appendix)


def _origin(recipe: str) -> str:
    return "recipe" if _is_text(recipe) else recipe


def _is_text(recipe: str) -> bool:
    return "\n" in recipe or ": " in recipe


def _override(settings: dict, key: str, value: Any) -> None:
    *path, last = key.split(".")
    section = settings
    for name in path:
        if section.get(name) is None:
            section[name] = {}
        section = section[name]
        if not isinstance(section, dict):
            raise RecipeError(f"{key}: {name} is a value, not a section")
    try:
        section[last] = yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError as error:
        raise RecipeError(f"{key}: not a YAML value: {value!r}") from error
    if key == "source.kind":
        settings["source"] = {"kind": section[last]}


def _default_vertical(settings: dict) -> None:
    source = settings.get("source")
    kind = source.get("kind") if isinstance(source, dict) else None
    if isinstance(kind, str) and kind in VERTICALS:
        own = settings.get("vertical") or {}
        if isinstance(own, dict):
            settings["vertical"] = VERTICALS[kind].model_dump() | own


def _explain(origin: str, error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        path = [str(part) for part in problem["loc"]]
        source = path.index("source") if "source" in path else len(path)
        del path[source + 1 : source + 2]  # pydantic puts the kind of the source between
        key = ".".join(path)
        if problem["type"] == "extra_forbidden":
            meant = _probably_meant(key.removeprefix("appendix."), _dotted_keys(Recipe))
            yield f"{origin}: {key}: unknown key{meant}"
        elif problem["type"] == "missing":
            yield f"{origin}: {key}: missing"
        else:
            message = problem["msg"].removeprefix("Value error, ")
            given = problem["input"]
            shown = "" if isinstance(given, dict | BaseModel) else f", not {given!r:.60}"
            yield f"{origin}: {key}{': ' if key else ''}{message}{shown}"


def _probably_meant(key: str, known: list[str]) -> str:
    section, _, name = key.rpartition(".")
    known = list(dict.fromkeys(known))  # Sources have keys in common.
    beside = [other for other in known if other.rpartition(".")[0] == section]
    elsewhere = [other for other in known if other.rpartition(".")[2] == name]
    meant = difflib.get_close_matches(key, beside, n=1, cutoff=0.7) or elsewhere
    return f" (did you mean {' or '.join(meant)}?)" if meant else ""


def _dotted_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, field in model.model_fields.items():
        if name == "appendix":
            continue
        sections = _models_in(field.annotation)
        keys.append(prefix + name)
        for section in sections:
            keys += _dotted_keys(section, f"{prefix}{name}.")
    return keys


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
