"""The first step of every pipeline: check the recipe and deal out its sections."""

from typing import NamedTuple

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def resolve_recipe(recipe: str, overrides: dict) -> NamedTuple(  # type: ignore[valid-type] # kfp wants it spelled out here
    "Sections",
    name=str,
    seed=int,
    source=dict,
    vertical=dict,
    activity=dict,
    split=dict,
    text=dict,
    examples=dict,
    encoder=dict,
    pretrain=dict,
    finetune=dict,
    embed=dict,
    fasttext=dict,
    slice=dict,
    features=dict,
    lists=dict,
    ranker=dict,
    trees=dict,
    hires=dict,
    neighbours=dict,
    audience=dict,
    evaluation=dict,
):
    """Check the recipe and give each later step its section."""
    from collections import namedtuple

    from pipelines.recipe import load_recipe

    sections = load_recipe(recipe, overrides).sections()
    del sections["description"]
    return namedtuple("Sections", sections)(**sections)
