"""The parts of the daily pipeline that repeat, or are not due every day."""

from typing import Any

from kfp import dsl

from components.days.component import (
    cut_shards,
    embed_shard,
    merge_vectors,
    offer_fresh_audiences,
    refresh_index,
    register_fresh,
)
from pipelines.steps import REGISTRAR, Steps

SHARDS_AT_ONCE = 8


def embed_in_shards(steps: Steps, given: Any, taken: Any, tokens: Any, shards: Any) -> Any:
    """Add the steps that embed members, shard beside shard; return everyone's vectors."""
    cut = cut_shards(shards=shards, config=given["embed"])
    steps.light("shards", cut)
    with dsl.ParallelFor(cut.output, parallelism=SHARDS_AT_ONCE) as shard:
        embedded = steps.accelerated(
            "embed-shard",
            embed_shard(
                encoder=taken["encoder"],
                tokens=tokens,
                previous=taken["vectors"],
                shard=shard,
            ),
        )["vectors"]
    return steps.work("vectors", merge_vectors(parts=dsl.Collected(embedded)))["vectors"]


def refresh_audience(
    steps: Steps, given: Any, taken: Any, day: Any, vectors: Any, entities: Any
) -> Any:
    """Add the steps that refresh the audience's index; return what was registered of it."""
    index = steps.work(
        "neighbours",
        refresh_index(
            vectors=vectors["finetuned"],
            config=given["neighbours"],
            seed=given["seed"],
            due=day["due"],
        ),
    )["index"]
    audiences = steps.work(
        "offer-audiences",
        offer_fresh_audiences(
            audience=taken["audience"],
            index=index,
            entities=entities["finetuned"],
            examples=taken["examples"],
            features=taken["features"],
            encoder=taken["encoder"],
            settings=given["settings"],
            run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
            day=day["day"],
            due=day["due"],
        ),
    )["variants"]
    return steps.work(
        "register",
        register_fresh(
            packages=audiences, registry=given["registry"], experiments=given["experiments"]
        ),
        volume=True,
        settings=True,
        token=REGISTRAR,
        effect=True,
    )["registered"]
