"""The training pipeline: from actions to vectors, what they are used for, and how good that is."""

from collections.abc import Mapping
from typing import Any

from kfp import dsl

from components.activity.component import cut_sessions, describe_sessions, ingest
from components.audience.component import train_audience
from components.baselines.component import learn_words, pool_words
from components.encoder.component import embed, embed_everyone, finetune_encoder, pretrain_encoder
from components.evaluation.component import (
    draw_report,
    evaluate_methods,
    measure_rankers,
    measure_search,
)
from components.extreme.component import rank_entities, train_slices
from components.features.component import build_features
from components.hires.component import train_hires
from components.labels.component import cut_examples
from components.neighbours.component import index_neighbours
from components.ranking.component import build_ranking_lists, train_rank_trees, train_ranker
from components.text.component import learn_vocabulary, tokenise
from pipelines.resolve import resolve_recipe

PREDICTED_ENTITIES = 20

PUBLISHED = {name: f"report/report/{name}" for name in ("report.json", "report.html")}
"""Files at the top of a run's directory, and where the last step puts them."""

RANKERS = {
    "rank-base": "base",
    "rank-vector": "tower",
    "rank-base-no-history": "base-no-history",
    "rank-vector-no-history": "tower-no-history",
}
"""Steps that train a ranker, and its variant; `intent rank` asks that of rank-vector."""

RETRIES = 5
"""Of a step that takes long; its outputs are whole or absent, and training has checkpoints."""


# Above the pipeline, because kfp calls the pipeline's function where it is defined.
def _step(name: str, task: dsl.PipelineTask, *, retries: int = 0) -> Mapping[str, Any]:
    """Name a step in the UI and on disk, and have it tried again where machines come and go."""
    task.set_display_name(name)
    if retries:
        task.set_retry(
            num_retries=retries,
            backoff_duration="30s",
            backoff_factor=2,
            backoff_max_duration="600s",
        )
    return task.outputs


def _uses(
    sections: Any,
    feed: Any,
    sessions: Any,
    examples: Any,
    *,
    words: Any,
    vectors: Any,
    slices: Any,
    everyone: Any,
    checkpoints: Any,
) -> dict[str, Any]:
    """Add the steps that put vectors and entities to use; return what the report shows of them."""
    seed = sections["seed"]
    counted = _step(
        "features",
        build_features(
            feed=feed, sessions=sessions, examples=examples, config=sections["features"]
        ),
        retries=RETRIES,
    )
    lists = _step(
        "ranking-lists",
        build_ranking_lists(
            feed=feed,
            features=counted["asof"],
            sessions=sessions,
            examples=examples,
            config=sections["lists"],
            seed=seed,
        ),
        retries=RETRIES,
    )["lists"]
    trees = _step(
        "rank-trees",
        train_rank_trees(lists=lists, config=sections["trees"], seed=seed),
        retries=RETRIES,
    )["trees"]
    rankers = {
        variant.replace("-", "_"): _step(
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
            retries=RETRIES,
        )["ranker"]
        for name, variant in RANKERS.items()
    }
    ranking = _step(
        "measure-ranking",
        measure_rankers(
            lists=lists,
            vectors=vectors,
            trees=trees,
            **rankers,
            config=sections["evaluation"],
            seed=seed,
        ),
        retries=RETRIES,
    )["measured"]
    hires = _step(
        "hires",
        train_hires(
            feed=feed,
            sessions=sessions,
            features=counted["asof"],
            examples=examples,
            config=sections["hires"],
            seed=seed,
        ),
        retries=RETRIES,
    )["hires"]
    index = _step(
        "neighbours",
        index_neighbours(vectors=everyone, config=sections["neighbours"], seed=seed),
        retries=RETRIES,
    )["index"]
    neighbours = _step(
        "measure-neighbours",
        measure_search(index=index, config=sections["neighbours"], seed=seed),
        retries=RETRIES,
    )["measured"]
    audience = _step(
        "audience",
        train_audience(
            feed=feed,
            sessions=sessions,
            examples=examples,
            vectors=vectors,
            slices=slices,
            features=counted["asof"],
            config=sections["audience"],
            seed=seed,
        ),
        retries=RETRIES,
    )["audience"]
    return {"ranking": ranking, "neighbours": neighbours, "audience": audience, "hires": hires}


@dsl.pipeline(name="intent-training")
def training(
    recipe: str = "quickstart",
    overrides: dict = {"seed": "1"},  # noqa: B006 - kfp reads the default, nothing changes it
    checkpoints: str = "/checkpoints",
):
    """From member actions to activity vectors, their uses and a report.

    1. resolve: check the recipe and give each later step its section.
    2. ingest: read the source's actions, or generate a marketplace; what is known about its members
       (the truth) goes to a place of its own.
    3. sessions: merge all channels and cut each member's actions into sessions.
    4. session-report: describe the sessions beside the published figures.
    5. vocabulary: learn subwords from the training members' texts.
    6. tokens: turn every member's sessions into a document of subwords.
    7. examples: cut trails into contexts and targets, and find the labels to predict.
    8. fasttext: train word vectors on actions, and on the entities that members named.
    9. pretrain: train the encoder on masked words.
    10. finetune: train encoder and label layer on the labels.
    11. embed-fasttext, embed-pretrained, embed-finetuned: give each context a vector.
    12. slice-fasttext, slice-pretrained, slice-finetuned: train a Slice on each kind of vector.
    13. vectors: give every member's whole trail its activity vector.
    14. entities: rank every member's predicted entities.
    15. features: count what rankers read of members, queries and postings, as of each member's cut
        and as of now. A source that tells not what it showed has no rankers: this step's output and
        those of the uses after it are empty then.
    16. ranking-lists: make a list of each search page shown after a member's cut.
    17. rank-trees, rank-base, rank-vector, rank-base-no-history, rank-vector-no-history: train
        rankers on them: trees, and deep and wide without and with the vector's tower, with and
        without the features of what members did before.
    18. measure-ranking: measure the rankers on the searches of test members.
    19. hires: learn how likely an application ends in a confirmed hire.
    20. neighbours: index every member's vector.
    21. measure-neighbours: measure recall and speed of the search for similar members.
    22. audience: learn and measure whom a posting's notification goes to.
    23. evaluate: measure every method of suggestion on members that no model has seen; the only
        reader of the truth.
    24. report: draw the tables and plots.

    Args:
        recipe: the name of a recipe, or its YAML text.
        overrides: dotted keys of the recipe and their values, {"pretrain.epochs": "1"}.
        checkpoints: folder (local, or a mounted volume) in which the long steps keep the state they
            continue from when they are retried; one run at a time uses it.
    """
    sections = _step("resolve", resolve_recipe(recipe=recipe, overrides=overrides))
    seed, vertical, split = sections["seed"], sections["vertical"], sections["split"]

    ingested = _step(
        "ingest",
        ingest(
            source=sections["source"], vertical=vertical, config=sections["activity"], seed=seed
        ),
        retries=RETRIES,
    )
    sessions = _step(
        "sessions",
        cut_sessions(feed=ingested["feed"], config=sections["activity"]),
        retries=RETRIES,
    )["sessions"]
    described = _step(
        "session-report",
        describe_sessions(sessions=sessions, vertical=vertical, source=sections["source"]),
    )["described"]
    vocabulary = _step(
        "vocabulary",
        learn_vocabulary(
            sessions=sessions, config=sections["text"], vertical=vertical, split=split, seed=seed
        ),
        retries=RETRIES,
    )["vocabulary"]
    tokens = _step(
        "tokens",
        tokenise(
            sessions=sessions,
            vocabulary=vocabulary,
            config=sections["text"],
            split=split,
            seed=seed,
        ),
        retries=RETRIES,
    )["tokens"]
    examples = _step(
        "examples",
        cut_examples(
            sessions=sessions,
            config=sections["examples"],
            vertical=vertical,
            split=split,
            seed=seed,
        ),
        retries=RETRIES,
    )["examples"]

    words = _step(
        "fasttext",
        learn_words(
            sessions=sessions,
            config=sections["fasttext"],
            vertical=vertical,
            split=split,
            seed=seed,
        ),
        retries=RETRIES,
    )
    pretrained = _step(
        "pretrain",
        pretrain_encoder(
            tokens=tokens,
            vocabulary=vocabulary,
            config=sections["pretrain"],
            sizes=sections["encoder"],
            seed=seed,
            checkpoints=checkpoints,
        ),
        retries=RETRIES,
    )["encoder"]
    finetuned = _step(
        "finetune",
        finetune_encoder(
            pretrained=pretrained,
            tokens=tokens,
            examples=examples,
            config=sections["finetune"],
            seed=seed,
            checkpoints=checkpoints,
        ),
        retries=RETRIES,
    )["encoder"]

    vectors = {
        "fasttext": pool_words(words=words["words"], sessions=sessions, examples=examples)
    } | {
        name: embed(encoder=encoder, tokens=tokens, examples=examples, config=sections["embed"])
        for name, encoder in (("pretrained", pretrained), ("finetuned", finetuned))
    }
    ranked: dict[str, Any] = {}
    for name, task in vectors.items():
        own = _step(f"embed-{name}", task, retries=RETRIES)["vectors"]
        slices = _step(
            f"slice-{name}",
            train_slices(vectors=own, examples=examples, config=sections["slice"], seed=seed),
            retries=RETRIES,
        )["slices"]
        ranked |= {f"{name}_vectors": own, f"{name}_slices": slices}

    everyone = _step(
        "vectors",
        embed_everyone(encoder=finetuned, tokens=tokens, config=sections["embed"]),
        retries=RETRIES,
    )["vectors"]
    _step(
        "entities",
        rank_entities(
            vectors=everyone,
            slices=ranked["finetuned_slices"],
            predicted=PREDICTED_ENTITIES,
        ),
        retries=RETRIES,
    )
    uses = _uses(
        sections,
        ingested["feed"],
        sessions,
        examples,
        words=words["words"],
        vectors=ranked["finetuned_vectors"],
        slices=ranked["finetuned_slices"],
        everyone=everyone,
        checkpoints=checkpoints,
    )
    measured = _step(
        "evaluate",
        evaluate_methods(
            examples=examples,
            tokens=tokens,
            vocabulary=vocabulary,
            entities=words["entities"],
            finetuned=finetuned,
            truth=ingested["truth"],
            config=sections["evaluation"],
            seed=seed,
            **ranked,
        ),
        retries=RETRIES,
    )["measured"]
    _step(
        "report",
        draw_report(
            name=sections["name"],
            measured=measured,
            **uses,
            sessions=sessions,
            described=described,
            pretrained=pretrained,
            finetuned=finetuned,
            config=sections["evaluation"],
            seed=seed,
        ),
    )
