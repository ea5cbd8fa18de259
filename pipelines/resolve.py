"""The first step of a pipeline: check every choice before anything is spent, deal out settings."""

from typing import NamedTuple

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def resolve_recipe(
    recipe: str,
    overrides: dict,
    accelerator: str,
    pools: dict,
    sessions_engine: str,
    training: str,
    nodes: int,
    volume: str,
    cpu: str,
    memory: str,
    accelerated_cpu: str,
    accelerated_memory: str,
    store: str,
    registry: str,
    experiments: str,
) -> NamedTuple(  # type: ignore[valid-type] # kfp wants it spelled out here
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
    baselines=dict,
    slice=dict,
    features=dict,
    lists=dict,
    ranker=dict,
    trees=dict,
    hires=dict,
    neighbours=dict,
    audience=dict,
    candidates=dict,
    news=dict,
    evaluation=dict,
    appendix=dict,
    settings=dict,
    node_selector=dict,
    tolerations=list,
    resource=str,
    count=str,
    image=str,
    pretrain_node_selector=dict,
    pretrain_tolerations=list,
    pretrain_resource=str,
    pretrain_count=str,
    pretrain_image=str,
    training_job=dict,
    sessions_job=dict,
    store=str,
    registry=str,
    experiments=str,
):
    """Check the recipe and every choice; give each later step its section, machines and places."""
    from collections import namedtuple

    from pipelines.choices import choices
    from pipelines.recipe import load_recipe

    sections = load_recipe(recipe, overrides).sections()
    del sections["description"]
    chosen = choices(
        accelerator=accelerator,
        pools=pools,
        sessions_engine=sessions_engine,
        training=training,
        nodes=nodes,
        volume=volume,
        sizes={
            "cpu": cpu,
            "memory": memory,
            "accelerated_cpu": accelerated_cpu,
            "accelerated_memory": accelerated_memory,
        },
        places={"store": store, "registry": registry, "experiments": experiments},
    )
    outputs = {**sections, "settings": sections, **chosen}
    return namedtuple("Sections", outputs)(**outputs)


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def resolve_day(
    models: str,
    accelerator: str,
    pools: dict,
    sessions_engine: str,
    nodes: int,
    shards: int,
    refresh_index_every: int,
    volume: str,
    cpu: str,
    memory: str,
    accelerated_cpu: str,
    accelerated_memory: str,
    store: str,
    registry: str,
    experiments: str,
) -> NamedTuple(  # type: ignore[valid-type] # kfp wants it spelled out here
    "Given",
    version=str,
    stamp=str,
    indexed=str,
    settings=dict,
    seed=int,
    vertical=dict,
    activity=dict,
    split=dict,
    text=dict,
    embed=dict,
    neighbours=dict,
    node_selector=dict,
    tolerations=list,
    resource=str,
    count=str,
    image=str,
    sessions_job=dict,
    store=str,
    registry=str,
    experiments=str,
):
    """Find the models to go on with, and check every choice."""
    from collections import namedtuple

    from components.days.handover import Handover
    from pipelines.choices import STEP, at_least_one, choices

    at_least_one("shards", shards)
    at_least_one("refresh_index_every", refresh_index_every)
    handed = Handover.open(models)
    settings = handed.settings()
    chosen = choices(
        accelerator=accelerator,
        pools=pools,
        sessions_engine=sessions_engine,
        training=STEP,
        nodes=nodes,
        volume=volume,
        sizes={
            "cpu": cpu,
            "memory": memory,
            "accelerated_cpu": accelerated_cpu,
            "accelerated_memory": accelerated_memory,
        },
        places={"store": store, "registry": registry, "experiments": experiments},
    )
    used = ("seed", "vertical", "activity", "split", "text", "embed", "neighbours")
    where = ("node_selector", "tolerations", "resource", "count", "image", "sessions_job")
    outputs = {
        "version": handed.version,
        "stamp": handed.stamp,
        "indexed": handed.day.indexed,
        "settings": settings,
        **{name: settings[name] for name in used},
        **{name: chosen[name] for name in (*where, "store", "registry", "experiments")},
    }
    return namedtuple("Given", outputs)(**outputs)


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def resolve_experiment(task: str, registry: str, experiments: str, exposures: str) -> NamedTuple(  # type: ignore[valid-type] # kfp wants it spelled out here
    "Given", task=str, registry=str, experiments=str, exposures=str
):
    """Check what is to be done, and where."""
    from collections import namedtuple

    from pipelines.choices import TASKS, one_of
    from pipelines.places import place

    places = {"registry": registry, "experiments": experiments, "exposures": exposures}
    found = {name: place(name, given, name) for name, given in places.items()}
    outputs = {"task": one_of("task", task, TASKS), **found}
    return namedtuple("Given", outputs)(**outputs)
