"""The training pipeline: from actions to vectors, what they are used for, and how good that is."""

from typing import Any

from kfp import dsl

from components.activity.component import cut_sessions, describe_sessions, ingest
from components.baselines.component import learn_words, pool_everyone, pool_words
from components.encoder.component import embed, embed_everyone, finetune_encoder, pretrain_encoder
from components.evaluation.component import draw_report, evaluate_methods
from components.extreme.component import rank_entities, train_slices
from components.labels.component import cut_examples
from components.text.component import learn_vocabulary, tokenise
from pipelines.resolve import resolve_recipe
from pipelines.steps import RETRIES, step
from pipelines.uses import offer_variants, put_to_use

PREDICTED_ENTITIES = 20

PUBLISHED = {name: f"report/report/{name}" for name in ("report.json", "report.html")}
"""Files at the top of a run's directory, and where the last step puts them."""


@dsl.pipeline(name="intent-training")
def training(
    recipe: str = "quickstart",
    overrides: dict = {"seed": "1"},  # noqa: B006 - kfp reads the default, nothing changes it
    checkpoints: str = "/checkpoints",
    store: str = "lmdb:/store",
    registry: str = "/registry",
    experiments: str = "/experiments",
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
    13. vectors, vectors-fasttext: give every member's whole trail its activity vector.
    14. entities, entities-fasttext: rank every member's predicted entities.
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
    25. publish-finetuned, publish-fasttext: push everyone's vectors and entities to the store.
    26. offer-encoder, offer-suggestions, offer-rankers, offer-audiences: package what was trained
        as variants that model servers can load.
    27. register: put the variants into the registry, and into their experiments at 0%.

    Args:
        recipe: the name of a recipe, or its YAML text.
        overrides: dotted keys of the recipe and their values, {"pretrain.epochs": "1"}.
        checkpoints: folder (local, or a mounted volume) in which the long steps keep the state they
            continue from when they are retried; one run at a time uses it.
        store: URL of the store that vectors and entities are pushed to.
        registry: folder or gs://bucket/prefix in which variants are registered.
        experiments: folder of the experiments' manifests.
    """
    sections = step("resolve", resolve_recipe(recipe=recipe, overrides=overrides))
    seed, vertical, split = sections["seed"], sections["vertical"], sections["split"]

    ingested = step(
        "ingest",
        ingest(
            source=sections["source"], vertical=vertical, config=sections["activity"], seed=seed
        ),
        retries=RETRIES,
    )
    sessions = step(
        "sessions",
        cut_sessions(feed=ingested["feed"], config=sections["activity"]),
        retries=RETRIES,
    )["sessions"]
    described = step(
        "session-report",
        describe_sessions(sessions=sessions, vertical=vertical, source=sections["source"]),
    )["described"]
    vocabulary = step(
        "vocabulary",
        learn_vocabulary(
            sessions=sessions, config=sections["text"], vertical=vertical, split=split, seed=seed
        ),
        retries=RETRIES,
    )["vocabulary"]
    tokens = step(
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
    examples = step(
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

    words = step(
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
    pretrained = step(
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
    finetuned = step(
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
        own = step(f"embed-{name}", task, retries=RETRIES)["vectors"]
        slices = step(
            f"slice-{name}",
            train_slices(vectors=own, examples=examples, config=sections["slice"], seed=seed),
            retries=RETRIES,
        )["slices"]
        ranked |= {f"{name}_vectors": own, f"{name}_slices": slices}

    everyone = {
        "finetuned": step(
            "vectors",
            embed_everyone(encoder=finetuned, tokens=tokens, config=sections["embed"]),
            retries=RETRIES,
        )["vectors"],
        "fasttext": step(
            "vectors-fasttext",
            pool_everyone(words=words["words"], sessions=sessions),
            retries=RETRIES,
        )["vectors"],
    }
    entities = {
        encoder: step(
            name,
            rank_entities(
                vectors=everyone[encoder],
                slices=ranked[f"{encoder}_slices"],
                sessions=sessions,
                examples=examples,
                vertical=vertical,
                predicted=PREDICTED_ENTITIES,
            ),
            retries=RETRIES,
        )["entities"]
        for name, encoder in (("entities", "finetuned"), ("entities-fasttext", "fasttext"))
    }
    uses = put_to_use(
        sections,
        ingested["feed"],
        sessions,
        examples,
        words=words["words"],
        vectors=ranked["finetuned_vectors"],
        slices=ranked["finetuned_slices"],
        everyone=everyone["finetuned"],
        checkpoints=checkpoints,
    )
    measured = step(
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
    step(
        "report",
        draw_report(
            name=sections["name"],
            measured=measured,
            **uses["report"],
            sessions=sessions,
            described=described,
            pretrained=pretrained,
            finetuned=finetuned,
            config=sections["evaluation"],
            seed=seed,
        ),
    )
    offer_variants(
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
        store=store,
        registry=registry,
        experiments=experiments,
    )
