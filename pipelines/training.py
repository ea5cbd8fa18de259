"""The training pipeline: from actions to vectors, what they are used for, and how good that is."""

from typing import Any

from kfp import dsl

from components.activity.component import cut_sessions, describe_sessions, ingest
from components.baselines.component import learn_words, pool_everyone, pool_words
from components.days.component import hand_over_models
from components.encoder.component import embed, embed_everyone, finetune_encoder, pretrain_encoder
from components.evaluation.component import draw_report, evaluate_methods
from components.extreme.component import rank_entities, train_slices
from components.labels.component import cut_examples
from components.text.component import learn_vocabulary, tokenise
from pipelines.accelerators import POOLS
from pipelines.beside import compare_vectors, rank_all_news, train_baselines
from pipelines.places import CONFIGURED
from pipelines.resolve import resolve_recipe
from pipelines.steps import LAUNCHER, RETRIES, Steps
from pipelines.uses import offer_variants, put_to_use

PREDICTED_ENTITIES = 20

PUBLISHED = {name: f"report/report/{name}" for name in ("report.json", "report.html")}
"""Files at the top of a run's directory, and where the last step puts them."""


@dsl.pipeline(name="intent-training")
def training(
    recipe: str = "quickstart",
    overrides: dict = {"seed": "1"},  # noqa: B006 - kfp reads the default, nothing changes it
    accelerator: str = "none",
    pools: dict = POOLS,
    training: str = "step",
    nodes: int = 1,
    sessions_engine: str = "duckdb",
    cpu: str = "2",
    memory: str = "8Gi",
    accelerated_cpu: str = "4",
    accelerated_memory: str = "16Gi",
    volume: str = "intent-store-work",
    checkpoints: str = "/intent/checkpoints",
    store: str = CONFIGURED,
    registry: str = CONFIGURED,
    experiments: str = CONFIGURED,
    models: str = "/intent/models",
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
    13. end-to-end, sequences: train those other methods of suggestion that the recipe names,
        networks over words and those that write the next query.
    14. vectors, vectors-fasttext: give every member's whole trail its activity vector.
    15. entities, entities-fasttext: rank every member's predicted entities.
    16. features: count what rankers read of members, queries and postings, as of each member's cut
        and as of now. A source that tells not what it showed has no rankers: this step's output and
        those of the uses after it are empty then.
    17. ranking-lists: make a list of each search page shown after a member's cut.
    18. rank-trees, rank-base, rank-vector, rank-base-no-history, rank-vector-no-history: train
        rankers on them: trees, and deep and wide without and with the vector's tower, with and
        without the features of what members did before.
    19. measure-ranking: measure the rankers on the searches of test members.
    20. hires: learn how likely an application ends in a confirmed hire.
    21. neighbours: index every member's vector.
    22. measure-neighbours: measure recall and speed of the search for similar members.
    23. audience: learn and measure whom a posting's notification goes to.
    24. candidates: learn and measure by which clauses postings are recommended to a member.
    25. rank-news: where the source is of news, rank them by pairs of vectors.
    26. appendix: where the recipe has an appendix, do all of that on news in small.
    27. contexts: compare vectors of long contexts, by chunks and in one pass.
    28. in-session: compare vectors of a member's last actions with that of the day.
    29. evaluate: measure every method of suggestion on members that no model has seen; the only
        reader of the truth.
    30. report: draw the tables and plots.
    31. publish-finetuned, publish-fasttext: push everyone's vectors and entities to the store.
    32. offer-encoder, offer-suggestions, offer-rankers, offer-audiences, offer-candidates: package
        what was trained as variants that model servers can load.
    33. register: put the variants into the registry, and into their experiments at 0%.
    34. hand-over: leave the models, vectors and actions to the daily pipeline.

    Args:
        recipe: the name of a recipe (quickstart, paper, mind, shopping), or its YAML text.
        overrides: dotted keys of the recipe and their values, {"pretrain.epochs": "1"}.
        accelerator: where the encoder is trained and run, a key of `pools`: none, v100, a100, h100.
        pools: what each accelerator means here: node_selector, tolerations, resource, count (for
            each pod) and image; the default is Google Kubernetes Engine's.
        training: step, to pre-train in its step, or trainjob, to pre-train as a TrainJob.
        nodes: of the TrainJob, or executors of the SparkApplication; each node has the
            accelerator's count.
        sessions_engine: duckdb, to cut sessions in their step, or spark, as a SparkApplication.
        cpu: processors that a step working on data asks for.
        memory: its memory, for example 8Gi; also its limit.
        accelerated_cpu: processors of a step that trains or runs the encoder.
        accelerated_memory: its memory; also its limit. Shared memory counts towards it.
        volume: claim of the volume that steps share, mounted at /intent.
        checkpoints: folder (local, or on the volume) in which the long steps keep the state they
            continue from when they are retried; one run at a time uses it.
        store: URL of the store that vectors and entities are pushed to; configured, for the one in
            the ConfigMap intent-store.
        registry: folder or gs://bucket/prefix in which variants are registered; or configured.
        experiments: where experiments are: kubernetes, kubernetes:NAMESPACE or a folder; or
            configured.
        models: folder on the volume, or gs://bucket/prefix, for what daily runs go on with.
    """
    steps = Steps(
        volume=volume,
        cpu=cpu,
        memory=memory,
        accelerated_cpu=accelerated_cpu,
        accelerated_memory=accelerated_memory,
    )
    sections = steps.light(
        "resolve",
        resolve_recipe(
            recipe=recipe,
            overrides=overrides,
            accelerator=accelerator,
            pools=pools,
            sessions_engine=sessions_engine,
            training=training,
            nodes=nodes,
            volume=volume,
            cpu=cpu,
            memory=memory,
            accelerated_cpu=accelerated_cpu,
            accelerated_memory=accelerated_memory,
            store=store,
            registry=registry,
            experiments=experiments,
        ),
        settings=True,
        effect=True,
    )
    steps.accelerated_on(sections)
    seed, vertical, split = sections["seed"], sections["vertical"], sections["split"]

    ingested = steps.work(
        "ingest",
        ingest(
            source=sections["source"], vertical=vertical, config=sections["activity"], seed=seed
        ),
        volume=True,
        effect=True,
    )
    sessions = steps.work(
        "sessions",
        cut_sessions(
            feed=ingested["feed"], config=sections["activity"], job=sections["sessions_job"]
        ),
        volume=True,
        settings=True,
        token=LAUNCHER,
    )["sessions"]
    described = steps.work(
        "session-report",
        describe_sessions(sessions=sessions, vertical=vertical, source=sections["source"]),
    )["described"]
    vocabulary = steps.work(
        "vocabulary",
        learn_vocabulary(
            sessions=sessions, config=sections["text"], vertical=vertical, split=split, seed=seed
        ),
    )["vocabulary"]
    tokens = steps.work(
        "tokens",
        tokenise(
            sessions=sessions,
            vocabulary=vocabulary,
            config=sections["text"],
            split=split,
            seed=seed,
        ),
    )["tokens"]
    examples = steps.work(
        "examples",
        cut_examples(
            sessions=sessions,
            config=sections["examples"],
            vertical=vertical,
            split=split,
            seed=seed,
        ),
    )["examples"]

    words = steps.work(
        "fasttext",
        learn_words(
            sessions=sessions,
            config=sections["fasttext"],
            vertical=vertical,
            split=split,
            seed=seed,
        ),
    )
    pretrained = steps.accelerated(
        "pretrain",
        pretrain_encoder(
            tokens=tokens,
            vocabulary=vocabulary,
            config=sections["pretrain"],
            sizes=sections["encoder"],
            seed=seed,
            checkpoints=checkpoints,
            job=sections["training_job"],
        ),
        where="pretrain_",
        volume=True,
        settings=True,
        token=LAUNCHER,
    )["encoder"]
    finetuned = steps.accelerated(
        "finetune",
        finetune_encoder(
            pretrained=pretrained,
            tokens=tokens,
            examples=examples,
            config=sections["finetune"],
            seed=seed,
            checkpoints=checkpoints,
        ),
        volume=True,
    )["encoder"]

    vectors = {
        "fasttext": pool_words(words=words["words"], sessions=sessions, examples=examples)
    } | {
        name: embed(encoder=encoder, tokens=tokens, examples=examples, config=sections["embed"])
        for name, encoder in (("pretrained", pretrained), ("finetuned", finetuned))
    }
    ranked: dict[str, Any] = {}
    for name, task in vectors.items():
        add = steps.work if name == "fasttext" else steps.accelerated
        own = add(f"embed-{name}", task)["vectors"]
        slices = steps.work(
            f"slice-{name}",
            train_slices(vectors=own, examples=examples, config=sections["slice"], seed=seed),
        )["slices"]
        ranked |= {f"{name}_vectors": own, f"{name}_slices": slices}

    everyone = {
        "finetuned": steps.accelerated(
            "vectors", embed_everyone(encoder=finetuned, tokens=tokens, config=sections["embed"])
        )["vectors"],
        "fasttext": steps.work(
            "vectors-fasttext", pool_everyone(words=words["words"], sessions=sessions)
        )["vectors"],
    }
    entities = {
        encoder: steps.work(
            name,
            rank_entities(
                vectors=everyone[encoder],
                slices=ranked[f"{encoder}_slices"],
                sessions=sessions,
                examples=examples,
                vertical=vertical,
                predicted=PREDICTED_ENTITIES,
            ),
        )["entities"]
        for name, encoder in (("entities", "finetuned"), ("entities-fasttext", "fasttext"))
    }
    uses = put_to_use(
        steps,
        sections,
        ingested["feed"],
        sessions,
        examples,
        words=words["words"],
        ranked=ranked,
        everyone=everyone,
        entities=entities,
        checkpoints=checkpoints,
    )
    news = rank_all_news(
        steps,
        sections,
        ingested["feed"],
        pretrained=pretrained,
        finetuned=finetuned,
        checkpoints=checkpoints,
    )
    compared = compare_vectors(
        steps, sections, sessions, examples, tokens=tokens, finetuned=finetuned, ranked=ranked
    )
    predictions = train_baselines(
        steps, sections, sessions, examples, words=words["words"], checkpoints=checkpoints
    )
    measured = steps.work(
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
            **predictions,
        ),
    )["measured"]
    steps.work(
        "report",
        draw_report(
            name=sections["name"],
            measured=measured,
            **uses["report"],
            **news,
            **compared,
            sessions=sessions,
            described=described,
            pretrained=pretrained,
            finetuned=finetuned,
            config=sections["evaluation"],
            seed=seed,
        ),
    )
    offer_variants(
        steps,
        sections,
        uses,
        words=words["words"],
        finetuned=finetuned,
        examples=examples,
        everyone=everyone,
        slices=ranked,
        entities=entities,
        sessions=sessions,
        measured=measured,
    )
    steps.light(
        "hand-over",
        hand_over_models(
            encoder=finetuned,
            vocabulary=vocabulary,
            words=words["words"],
            slices=ranked["finetuned_slices"],
            word_slices=ranked["fasttext_slices"],
            examples=examples,
            audience=uses["report"]["audience"],
            features=uses["features"],
            vectors=everyone["finetuned"],
            feed=ingested["feed"],
            settings=sections["settings"],
            run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
            models=models,
        ),
        volume=True,
        effect=True,
        retries=RETRIES,
    )
