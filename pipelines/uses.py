"""The part of the training pipeline that puts vectors and entities to use, and offers them."""

from collections.abc import Mapping
from typing import Any

from kfp import dsl

from components.audience.component import train_audience
from components.candidates.component import train_candidates
from components.evaluation.component import measure_rankers, measure_search
from components.features.component import build_features
from components.hires.component import train_hires
from components.neighbours.component import index_neighbours
from components.ranking.component import build_ranking_lists, train_rank_trees, train_ranker
from components.store.component import publish
from components.variants.component import (
    offer_audiences,
    offer_candidates,
    offer_encoder,
    offer_rankers,
    offer_suggestions,
    register_variants,
)
from components.variants.names import DATASETS
from pipelines.steps import REGISTRAR, Steps

VERSIONS_KEPT, PUBLISHERS = 2, 2
"""Versions of a content that stay for a rollback, and processes that push one."""

RANKERS = {
    "rank-base": "base",
    "rank-vector": "tower",
    "rank-base-no-history": "base-no-history",
    "rank-vector-no-history": "tower-no-history",
}
"""Steps that train a ranker, and its variant; `intent rank` asks that of rank-vector."""


def put_to_use(
    steps: Steps,
    sections: Any,
    feed: Any,
    sessions: Any,
    examples: Any,
    *,
    words: Any,
    ranked: Mapping[str, Any],
    everyone: Mapping[str, Any],
    entities: Mapping[str, Any],
    checkpoints: Any,
) -> dict[str, Any]:
    """Add the steps that put vectors and entities to use; return what later steps read of them."""
    seed, vectors = sections["seed"], ranked["finetuned_vectors"]
    counted = steps.work(
        "features",
        build_features(
            feed=feed, sessions=sessions, examples=examples, config=sections["features"]
        ),
    )
    lists = steps.work(
        "ranking-lists",
        build_ranking_lists(
            feed=feed,
            features=counted["asof"],
            sessions=sessions,
            examples=examples,
            config=sections["lists"],
            seed=seed,
        ),
    )["lists"]
    trees = steps.work(
        "rank-trees", train_rank_trees(lists=lists, config=sections["trees"], seed=seed)
    )["trees"]
    rankers = {
        variant.replace("-", "_"): steps.work(
            name,
            train_ranker(
                lists=lists,
                vectors=vectors,
                words=words,
                config=sections["ranker"],
                variant=variant,
                seed=seed,
                checkpoints=checkpoints,
            ),
            volume=True,
        )["ranker"]
        for name, variant in RANKERS.items()
    }
    ranking = steps.work(
        "measure-ranking",
        measure_rankers(
            lists=lists,
            vectors=vectors,
            trees=trees,
            **rankers,
            config=sections["evaluation"],
            seed=seed,
        ),
    )["measured"]
    hires = steps.work(
        "hires",
        train_hires(
            feed=feed,
            sessions=sessions,
            features=counted["asof"],
            examples=examples,
            config=sections["hires"],
            seed=seed,
        ),
    )["hires"]
    index = steps.work(
        "neighbours",
        index_neighbours(vectors=everyone["finetuned"], config=sections["neighbours"], seed=seed),
    )["index"]
    neighbours = steps.work(
        "measure-neighbours", measure_search(index=index, config=sections["neighbours"], seed=seed)
    )["measured"]
    audience = steps.work(
        "audience",
        train_audience(
            feed=feed,
            sessions=sessions,
            examples=examples,
            vectors=vectors,
            slices=ranked["finetuned_slices"],
            features=counted["asof"],
            config=sections["audience"],
            seed=seed,
        ),
    )["audience"]
    candidates = steps.work(
        "candidates",
        train_candidates(
            feed=feed,
            sessions=sessions,
            examples=examples,
            fasttext_vectors=ranked["fasttext_vectors"],
            fasttext_slices=ranked["fasttext_slices"],
            vectors=vectors,
            slices=ranked["finetuned_slices"],
            everyone=everyone["finetuned"],
            everyone_fasttext=everyone["fasttext"],
            entities=entities["finetuned"],
            entities_fasttext=entities["fasttext"],
            index=index,
            config=sections["candidates"],
            seed=seed,
        ),
    )["candidates"]
    return {
        "report": {
            "ranking": ranking,
            "neighbours": neighbours,
            "audience": audience,
            "hires": hires,
            "candidates": candidates,
        },
        "rankers": rankers,
        "features": counted["now"],
        "index": index,
    }


def offer_variants(
    steps: Steps,
    sections: Any,
    uses: Mapping[str, Any],
    *,
    words: Any,
    finetuned: Any,
    examples: Any,
    everyone: Mapping[str, Any],
    slices: Mapping[str, Any],
    entities: Mapping[str, Any],
    sessions: Any,
    measured: Any,
) -> None:
    """Add the steps that push what was made to the store, package models, and register them."""
    for dataset in DATASETS:
        steps.work(
            f"publish-{dataset}",
            publish(
                vectors=everyone[dataset],
                entities=entities[dataset],
                sessions=sessions,
                examples=examples,
                store=sections["store"],
                dataset=dataset,
                keep=VERSIONS_KEPT,
                workers=PUBLISHERS,
            ),
            volume=True,
            store=True,
            effect=True,
        )
    about = {
        **{name: sections[name] for name in ("vertical", "activity", "embed", "seed")},
        "recipe": sections["name"],
        "run": dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
    }
    encoders = steps.light(
        "offer-encoder", offer_encoder(encoder=finetuned, vectors=everyone["finetuned"], **about)
    )["variants"]
    suggestions = steps.light(
        "offer-suggestions",
        offer_suggestions(
            encoder=finetuned,
            vectors=everyone["finetuned"],
            slices=slices["finetuned_slices"],
            words=words,
            word_vectors=everyone["fasttext"],
            word_slices=slices["fasttext_slices"],
            examples=examples,
            measured=measured,
            **about,
        ),
    )["variants"]
    rankers = steps.light(
        "offer-rankers",
        offer_rankers(
            **uses["rankers"],
            features=uses["features"],
            measured=uses["report"]["ranking"],
            **about,
        ),
    )["variants"]
    audiences = steps.light(
        "offer-audiences",
        offer_audiences(
            audience=uses["report"]["audience"],
            index=uses["index"],
            entities=entities["finetuned"],
            examples=examples,
            features=uses["features"],
            encoder=finetuned,
            **about,
        ),
    )["variants"]
    candidates = steps.light(
        "offer-candidates",
        offer_candidates(
            candidates=uses["report"]["candidates"],
            encoder=finetuned,
            vectors=everyone["finetuned"],
            slices=slices["finetuned_slices"],
            words=words,
            word_vectors=everyone["fasttext"],
            word_slices=slices["fasttext_slices"],
            examples=examples,
            **about,
        ),
    )["variants"]
    steps.work(
        "register",
        register_variants(
            encoder=encoders,
            suggestions=suggestions,
            rankers=rankers,
            audiences=audiences,
            candidates=candidates,
            registry=sections["registry"],
            experiments=sections["experiments"],
        ),
        volume=True,
        settings=True,
        token=REGISTRAR,
        effect=True,
    )
