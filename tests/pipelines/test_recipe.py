"""Recipes: what loads, and how a mistake is told."""

import pytest

from pipelines.recipe import RecipeError, load_recipe, recipe_names

SMALLEST = "name: tiny\nsource: {kind: jobs}\n"


def test_the_recipes_that_come_with_the_product():
    assert recipe_names() == ["full", "mind", "news", "paper", "quickstart", "shopping"]


@pytest.mark.parametrize("name", ["full", "mind", "news", "paper", "quickstart", "shopping"])
def test_each_recipe_is_valid_and_named_after_its_file(name):
    assert load_recipe(name).name == name


def test_the_paper_recipe_holds_the_published_values():
    paper = load_recipe("paper")
    encoder, pretrain, fasttext, slice_ = (
        paper.encoder,
        paper.pretrain,
        paper.fasttext,
        paper.slice,
    )
    assert paper.activity.idle_minutes == 30
    assert paper.text.vocabulary_size == 100_000
    assert (encoder.layers, encoder.hidden, encoder.heads, encoder.max_tokens) == (12, 128, 2, 512)
    assert (pretrain.mask_share, pretrain.dupe_factor, pretrain.epochs) == (0.15, 3, 2)
    assert (pretrain.learning_rate, pretrain.batch, pretrain.warmup) == (5e-4, 32, 0.2)
    assert not pretrain.next_sentence
    assert paper.examples.context_share == 0.8
    assert paper.finetune.pooling == "mean_last4"
    assert paper.embed.chunks == 5
    assert (fasttext.dimension, fasttext.learning_rate, fasttext.epochs) == (300, 0.08, 5)
    assert (fasttext.window, fasttext.loss) == (5, "softmax")
    assert (slice_.hnsw_links, slice_.hnsw_build_width, slice_.hnsw_search_width) == (100, 300, 300)
    assert (slice_.neighbours, slice_.weight_threshold) == (300, 1e-6)


def test_the_full_recipe_is_the_quickstart_with_every_baseline():
    quickstart, full = (load_recipe(name).sections() for name in ("quickstart", "full"))
    assert set(full["baselines"].pop("methods")) > set(quickstart["baselines"].pop("methods"))
    for recipe in (quickstart, full):
        del recipe["name"], recipe["description"]
    assert full == quickstart


def test_the_mind_recipe_holds_the_values_of_appendix_a():
    mind = load_recipe("mind")
    assert mind.source.kind == "mind"
    assert mind.text.vocabulary_size == 30_000
    assert (mind.encoder.layers, mind.encoder.hidden, mind.encoder.heads) == (12, 256, 4)
    assert (mind.pretrain.dupe_factor, mind.pretrain.epochs, mind.pretrain.batch) == (7, 20, 32)
    assert mind.pretrain.next_sentence
    assert mind.examples.windows.stride == 3
    assert (mind.examples.windows.minimum_context, mind.examples.windows.maximum_context) == (4, 10)


@pytest.mark.parametrize(
    ("source", "label_actions"),
    [
        ("{kind: jobs}", ("JOB_SEARCH", "APPLY")),
        ("{kind: files, path: actions.csv}", ("JOB_SEARCH", "APPLY")),
        ("{kind: shopping}", ("PURCHASE",)),
        ("{kind: mind, path: MIND}", ("VIEW",)),
    ],
)
def test_a_source_brings_its_vertical(source, label_actions):
    recipe = load_recipe(f"name: tiny\nsource: {source}\n")
    assert recipe.vertical.label_actions == label_actions


def test_a_recipe_of_news_runs_beside_another_as_its_appendix():
    recipe = load_recipe(f"{SMALLEST}appendix: mind\n", {"appendix.encoder.layers": "2"})
    assert recipe.appendix.source.kind == "mind"
    assert recipe.appendix.vertical.label_actions == ("VIEW",)
    assert (recipe.appendix.encoder.layers, recipe.appendix.encoder.heads) == (2, 4)


def test_an_appendix_may_be_left_out():
    assert load_recipe(f"{SMALLEST}appendix: mind\n", {"appendix": "null"}).appendix is None


def test_a_vertical_may_be_changed_in_part():
    recipe = load_recipe(SMALLEST, {"vertical.label_actions": "[APPLY]"})
    assert recipe.vertical.label_actions == ("APPLY",)
    assert "VIEW" in recipe.vertical.actions


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("seed", "7", 7),
        ("encoder.layers", "3", 3),
        ("pretrain.learning_rate", "1e-3", 1e-3),
        ("pretrain.next_sentence", "true", True),
        ("finetune.pooling", "cls", "cls"),
        ("embed.chunks", 2.0, 2),
        ("examples.windows.stride", "5", 5),
    ],
    ids=["top level", "section", "exponent", "boolean", "choice", "number from a form", "nested"],
)
def test_an_override_sets_one_value(key, value, expected):
    found = load_recipe(SMALLEST, {key: value})
    for name in key.split("."):
        found = getattr(found, name)
    assert found == expected
    assert type(found) is type(expected)


def test_another_kind_of_source_does_not_inherit_the_settings_of_the_first():
    recipe = load_recipe(
        "name: tiny\nsource: {kind: jobs, members: 50}\n",
        {"source.kind": "files", "source.path": "actions.parquet"},
    )
    assert recipe.source.path == "actions.parquet"


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"pretrain.epoch": "1"}, "pretrain.epoch: unknown key (did you mean pretrain.epochs?)"),
        ({"sede": "1"}, "sede: unknown key (did you mean seed?)"),
        ({"layers": "1"}, "layers: unknown key (did you mean encoder.layers?)"),
        ({"source.membres": "9"}, "source.membres: unknown key (did you mean source.members?)"),
        ({"colour": "red"}, "recipe: colour: unknown key"),
        ({"encoder.layers": "many"}, "encoder.layers: Input should be a valid integer"),
        ({"encoder.layers": "1.5"}, "encoder.layers: Input should be a valid integer"),
        ({"encoder.layers": "0"}, "encoder.layers: Input should be greater than or equal to 1"),
        ({"finetune.pooling": "max"}, "finetune.pooling: Input should be 'cls', 'mean'"),
        ({"source.kind": "tape"}, "source: Input tag 'tape'"),
        (
            {"encoder.hidden": "130", "encoder.heads": "4"},
            "hidden 130 is not a multiple of heads 4",
        ),
        ({"split.test": "0"}, "split.test is 0, which leaves no members to evaluate on"),
        ({"split.test": "0.5", "split.validation": "0.5"}, "leave no members to train on"),
        ({"vertical.label_actions": "[HIRE]"}, "label_actions names ['HIRE']"),
        ({"seed.deep": "1"}, "seed.deep: seed is a value, not a section"),
        ({"seed": "[1"}, "seed: not a YAML value"),
        ({"appendix": "paper"}, "appendix paper must be of news"),
        ({"appendix": "quickstart"}, "appendix: has an appendix of its own"),
        ({"appendix": "mnd"}, "no recipe 'mnd' (did you mean mind?)"),
        (
            {"appendix": "mind", "appendix.pretrain.epoch": "1"},
            "appendix.pretrain.epoch: unknown key (did you mean pretrain.epochs?)",
        ),
    ],
)
def test_a_wrong_setting_is_told_by_its_key(overrides, told):
    with pytest.raises(RecipeError) as refusal:
        load_recipe("name: tiny\nseed: 1\nsource: {kind: jobs}\n", overrides)
    assert told in str(refusal.value)


def test_every_wrong_key_is_told_at_once():
    with pytest.raises(RecipeError) as refusal:
        load_recipe(SMALLEST, {"pretrain.epoch": "1", "encoder.layers": "0"})
    assert len(str(refusal.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ("quickstat", "no recipe 'quickstat' (did you mean quickstart?)"),
        (
            "no/such/file.yaml",
            "neither a name (full, mind, news, paper, quickstart, shopping) nor a YAML file",
        ),
        ("name: [\n", "not YAML"),
        ("- a\n- b\n", "a recipe is a mapping of sections"),
        ("name: tiny\n", "source: missing"),
        ("name: Not A Name\nsource: {kind: jobs}\n", "name: String should match pattern"),
    ],
)
def test_a_recipe_that_cannot_be_read_is_told(recipe, told):
    with pytest.raises(RecipeError) as refusal:
        load_recipe(recipe)
    assert told in str(refusal.value)


def test_a_file_is_named_in_its_errors(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nsource: {kind: jobs}\ncolour: red\n")
    with pytest.raises(RecipeError, match="mine.yaml: colour: unknown key"):
        load_recipe(str(path))


@pytest.mark.parametrize("name", ["full", "mind", "news", "paper", "quickstart", "shopping"])
def test_sections_survive_the_way_through_a_pipeline(name):
    """Kubeflow hands numbers on as floats; a recipe made of them is the same recipe."""
    recipe = load_recipe(name)
    assert type(recipe).model_validate(_as_floats(recipe.sections())) == recipe


def _as_floats(value):
    if isinstance(value, dict):
        return {key: _as_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_floats(item) for item in value]
    return float(value) if type(value) is int else value
