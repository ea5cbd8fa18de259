"""The daily pipeline: what a day's actions change, with the models of the last training run."""

from typing import Any

from kfp import dsl

from components.activity.component import cut_sessions, ingest
from components.baselines.component import pool_everyone
from components.days.component import add_actions, hand_over_day, take_over
from components.extreme.component import rank_entities
from components.store.component import publish
from components.text.component import tokenise
from pipelines.accelerators import POOLS
from pipelines.places import CONFIGURED
from pipelines.refresh import embed_in_shards, refresh_audience
from pipelines.resolve import resolve_day
from pipelines.steps import LAUNCHER, RETRIES, Steps
from pipelines.training import PREDICTED_ENTITIES
from pipelines.uses import PUBLISHERS, VERSIONS_KEPT


@dsl.pipeline(name="intent-daily")
def daily(
    source: dict = {"kind": "files", "path": "/intent/actions/today"},  # noqa: B006 - kfp reads it
    models: str = "/intent/models",
    refresh_index_every: int = 3,
    shards: int = 4,
    accelerator: str = "none",
    pools: dict = POOLS,
    sessions_engine: str = "duckdb",
    nodes: int = 1,
    cpu: str = "2",
    memory: str = "8Gi",
    accelerated_cpu: str = "4",
    accelerated_memory: str = "16Gi",
    volume: str = "intent-store-work",
    store: str = CONFIGURED,
    registry: str = CONFIGURED,
    experiments: str = CONFIGURED,
):
    """From a day's actions to what servers read of every member.

    Only chunks of trails that are new go through the encoder, so a day costs what was active in it.

    1. resolve: find the models that were handed over last, and check every choice.
    2. models: fetch them, and the vectors and actions of the day before.
    3. ingest: read the new actions.
    4. actions: add them to those known; equal ones count once, deleted members' go.
    5. sessions: cut each member's actions into sessions.
    6. tokens: turn them into a document of subwords, with the vocabulary of the training run.
    7. shards: share the members out.
    8. embed-shard: encode what is new of a shard's members; shards run beside each other.
    9. vectors, vectors-fasttext: everyone's activity vectors.
    10. entities, entities-fasttext: rank every member's predicted entities.
    11. publish-finetuned, publish-fasttext: push both to the store.
    12. neighbours: index every member's vector anew, every third day.
    13. offer-audiences: package the audience with the fresh index, likewise.
    14. register: register it as a new version of its variants.
    15. hand-over: leave the day's vectors and actions to the next.

    Args:
        source: where the new actions are, as in a recipe: kind files with a path (a file, a folder
            or a pattern, local or gs://). They may overlap with what is known, as after a missed
            day.
        models: folder on the volume, or gs://bucket/prefix, where training handed over its models.
        refresh_index_every: days from one index of members to the next.
        shards: that members are embedded in.
        accelerator: where the encoder runs, a key of `pools`: none, v100, a100, h100.
        pools: what each accelerator means here: node_selector, tolerations, resource, count and
            image; the default is Google Kubernetes Engine's.
        sessions_engine: duckdb, to cut sessions in their step, or spark, as a SparkApplication.
        nodes: executors of the SparkApplication.
        cpu: processors that a step working on data asks for.
        memory: its memory, for example 8Gi; also its limit.
        accelerated_cpu: processors of a step that runs the encoder.
        accelerated_memory: its memory; also its limit.
        volume: claim of the volume that steps share, mounted at /intent.
        store: URL of the store; configured, for the one in the ConfigMap intent-store.
        registry: folder or gs://bucket/prefix in which variants are registered; or configured.
        experiments: where experiments are: kubernetes, kubernetes:NAMESPACE or a folder; or
            configured.
    """
    steps = Steps(
        volume=volume,
        cpu=cpu,
        memory=memory,
        accelerated_cpu=accelerated_cpu,
        accelerated_memory=accelerated_memory,
    )
    given = steps.light(
        "resolve",
        resolve_day(
            models=models,
            accelerator=accelerator,
            pools=pools,
            sessions_engine=sessions_engine,
            nodes=nodes,
            shards=shards,
            refresh_index_every=refresh_index_every,
            volume=volume,
            cpu=cpu,
            memory=memory,
            accelerated_cpu=accelerated_cpu,
            accelerated_memory=accelerated_memory,
            store=store,
            registry=registry,
            experiments=experiments,
        ),
        volume=True,
        settings=True,
        effect=True,
    )
    steps.accelerated_on(given)
    handed = {"models": models, "version": given["version"], "stamp": given["stamp"]}
    taken = steps.work("models", take_over(**handed), volume=True, effect=True)
    feed = steps.work(
        "ingest",
        ingest(
            source=source,
            vertical=given["vertical"],
            config=given["activity"],
            seed=given["seed"],
        ),
        volume=True,
        effect=True,
    )["feed"]
    day = steps.work(
        "actions",
        add_actions(
            history=taken["actions"],
            feed=feed,
            store=given["store"],
            indexed=given["indexed"],
            refresh_index_every=refresh_index_every,
        ),
        volume=True,
        store=True,
        effect=True,
    )
    sessions = steps.work(
        "sessions",
        cut_sessions(feed=day["actions"], config=given["activity"], job=given["sessions_job"]),
        volume=True,
        settings=True,
        token=LAUNCHER,
    )["sessions"]
    tokens = steps.work(
        "tokens",
        tokenise(
            sessions=sessions,
            vocabulary=taken["vocabulary"],
            config=given["text"],
            split=given["split"],
            seed=given["seed"],
        ),
    )["tokens"]
    vectors = {
        "finetuned": embed_in_shards(steps, given, taken, tokens, shards),
        "fasttext": steps.work(
            "vectors-fasttext", pool_everyone(words=taken["words"], sessions=sessions)
        )["vectors"],
    }
    entities: dict[str, Any] = {}
    for dataset, name, slices in (
        ("finetuned", "entities", "slices"),
        ("fasttext", "entities-fasttext", "word_slices"),
    ):
        entities[dataset] = steps.work(
            name,
            rank_entities(
                vectors=vectors[dataset],
                slices=taken[slices],
                sessions=sessions,
                examples=taken["examples"],
                vertical=given["vertical"],
                predicted=PREDICTED_ENTITIES,
            ),
        )["entities"]
        steps.work(
            f"publish-{dataset}",
            publish(
                vectors=vectors[dataset],
                entities=entities[dataset],
                sessions=sessions,
                examples=taken["examples"],
                store=given["store"],
                dataset=dataset,
                keep=VERSIONS_KEPT,
                workers=PUBLISHERS,
            ),
            volume=True,
            store=True,
            effect=True,
        )
    registered = refresh_audience(steps, given, taken, day, vectors, entities)
    steps.light(
        "hand-over",
        hand_over_day(
            vectors=vectors["finetuned"],
            actions=day["actions"],
            registered=registered,
            **handed,
            day=day["day"],
            indexed=given["indexed"],
            due=day["due"],
        ),
        volume=True,
        effect=True,
        retries=RETRIES,
    )
