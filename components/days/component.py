"""Kubeflow steps that hand over: from a training run to the days after it, from day to day."""

from typing import List, NamedTuple  # noqa: UP035 - kfp knows a list of artifacts by this name

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def hand_over_models(
    encoder: dsl.Input[dsl.Model],
    vocabulary: dsl.Input[dsl.Model],
    words: dsl.Input[dsl.Model],
    slices: dsl.Input[dsl.Model],
    word_slices: dsl.Input[dsl.Model],
    examples: dsl.Input[dsl.Dataset],
    audience: dsl.Input[dsl.Model],
    features: dsl.Input[dsl.Dataset],
    vectors: dsl.Input[dsl.Dataset],
    feed: dsl.Input[dsl.Dataset],
    settings: dict,
    run: str,
    models: str,
    version: dsl.Output[dsl.Artifact],
):
    """Hand over the models to the daily runs, with every vector and action so far."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from components.days.actions import newest_day, renumbered
    from components.days.handover import keep_models
    from components.labels.examples import LABELS

    parts = {
        "encoder": encoder,
        "vocabulary": vocabulary,
        "words": words,
        "slices": slices,
        "word_slices": word_slices,
        "audience": audience,
        "features": features,
    }
    with TemporaryDirectory() as aside:
        labels, actions = Path(aside, "examples"), Path(aside, "actions")
        labels.mkdir()
        actions.mkdir()
        (labels / LABELS).write_bytes(Path(examples.path, LABELS).read_bytes())
        renumbered(Path(feed.path, "actions"), actions)
        kept = keep_models(
            models,
            {**{name: Path(part.path) for name, part in parts.items()}, "examples": labels},
            settings=settings,
            run=run,
            vectors=Path(vectors.path),
            actions=actions,
            day=newest_day(actions),
        )
    Path(version.path).write_text(kept + "\n")


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def take_over(
    models: str,
    version: str,
    stamp: str,
    encoder: dsl.Output[dsl.Model],
    vocabulary: dsl.Output[dsl.Model],
    words: dsl.Output[dsl.Model],
    slices: dsl.Output[dsl.Model],
    word_slices: dsl.Output[dsl.Model],
    examples: dsl.Output[dsl.Dataset],
    audience: dsl.Output[dsl.Model],
    features: dsl.Output[dsl.Dataset],
    vectors: dsl.Output[dsl.Dataset],
    actions: dsl.Output[dsl.Dataset],
):
    """Fetch the models of the training run, and the vectors and actions of the day before."""
    from pathlib import Path

    from components.days.handover import PARTS, Handover

    outputs = (encoder, vocabulary, words, slices, word_slices, examples, audience, features)
    Handover.open(models, version).as_of(stamp).take(
        {name: Path(part.path) for name, part in zip(PARTS, outputs, strict=True)},
        vectors=Path(vectors.path),
        actions=Path(actions.path),
    )


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def add_actions(
    history: dsl.Input[dsl.Dataset],
    feed: dsl.Input[dsl.Dataset],
    store: str,
    indexed: str,
    refresh_index_every: int,
    actions: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> NamedTuple("Day", day=str, due=str):  # type: ignore[valid-type] # kfp wants it spelled out here
    """Add the new actions to those known, without members who were deleted."""
    from collections import namedtuple
    from pathlib import Path

    from components.days.actions import deleted_members, index_is_due, merge_actions
    from components.variants.names import DATASETS

    merged = merge_actions(
        Path(history.path),
        Path(feed.path, "actions"),
        Path(actions.path, "actions"),
        deleted=deleted_members(store, DATASETS),
    )
    for name in ("new", "known", "deleted"):
        metrics.log_metric(name, getattr(merged, name))
    due = "yes" if index_is_due(merged.day, indexed, refresh_index_every) else "no"
    day = {"day": merged.day, "due": due}
    return namedtuple("Day", day)(**day)


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def cut_shards(shards: int, config: dict) -> list:
    """Describe, as JSON, the shards that members are embedded in.

    Each carries all that it needs: kfp.local puts a loop's item in the place of every parameter
    that another step returned.
    """
    import json

    numbers = range(1, shards + 1)
    return [json.dumps({"shard": [one, shards], "config": config}) for one in numbers]


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def embed_shard(
    encoder: dsl.Input[dsl.Model],
    tokens: dsl.Input[dsl.Dataset],
    previous: dsl.Input[dsl.Dataset],
    shard: str,
    vectors: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
):
    """Turn a shard of the members' trails into vectors; only chunks that are new are encoded."""
    import json
    from pathlib import Path

    from components.encoder.config import EmbedConfig
    from components.encoder.embed import embed_members

    described = json.loads(shard)
    number, count = described["shard"]
    counts = embed_members(
        Path(encoder.path),
        Path(tokens.path),
        Path(vectors.path),
        config=EmbedConfig(**described["config"]),
        previous=Path(previous.path),
        shard=(int(number), int(count)),
    )
    for name, value in counts.items():
        metrics.log_metric(name, value)


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def merge_vectors(
    parts: dsl.Input[List[dsl.Dataset]],  # noqa: UP006
    vectors: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
):
    """Put the shards' vectors together."""
    from pathlib import Path

    from components.encoder.vectors import merge_member_vectors

    merged = merge_member_vectors([Path(part.path) for part in parts], Path(vectors.path))
    metrics.log_metric("members", len(merged.member_ids))


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def refresh_index(
    vectors: dsl.Input[dsl.Dataset],
    config: dict,
    seed: int,
    due: str,
    index: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
):
    """Index every member's vector anew when that is due; leave the output empty when not."""
    from pathlib import Path

    from components.neighbours.build import build_index
    from components.neighbours.config import NeighboursConfig

    if due != "yes":
        Path(index.path).mkdir(parents=True)
        return
    built = build_index(Path(vectors.path), Path(index.path), NeighboursConfig(**config), seed=seed)
    metrics.log_metric("members", built.count)


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def offer_fresh_audiences(
    audience: dsl.Input[dsl.Model],
    index: dsl.Input[dsl.Artifact],
    entities: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Dataset],
    features: dsl.Input[dsl.Dataset],
    encoder: dsl.Input[dsl.Model],
    settings: dict,
    day: str,
    run: str,
    due: str,
    variants: dsl.Output[dsl.Model],
):
    """Package the audiences with the fresh index; nothing when it is not due."""
    from pathlib import Path

    from components.variants.packaging import Origin, Uses, package_audiences

    if due != "yes":
        Path(variants.path).mkdir(parents=True)
        return
    uses = Uses(
        features=Path(features.path),
        neighbours=Path(index.path),
        entities=Path(entities.path),
        examples=Path(examples.path),
        encoder=Path(encoder.path),
    )
    origin = Origin.of(
        settings["vertical"],
        settings["activity"],
        settings["embed"],
        settings["name"],
        run,
        settings["seed"],
    )
    lineage = {**origin.lineage, "day": day}
    package_audiences(
        Path(variants.path), Path(audience.path), uses, origin._replace(lineage=lineage)
    )


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def register_fresh(
    packages: dsl.Input[dsl.Model],
    registry: str,
    experiments: str,
    registered: dsl.Output[dsl.Artifact],
):
    """Register packages as new versions of their variants; nobody is ramped by it."""
    import json
    from pathlib import Path

    from components.cluster.client import REGISTRAR
    from components.variants.offer import offer
    from components.variants.packaging import packages_below

    told: dict = {"variants": [], "experiments": []}
    found = packages_below(Path(packages.path))
    if found:
        offered = offer(found, registry, experiments, credentials=REGISTRAR)
        told["variants"] = [record._asdict() for record in offered.records]
        told["experiments"] = list(offered.told)
    Path(registered.path).write_text(json.dumps(told, indent=1) + "\n")


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def hand_over_day(
    vectors: dsl.Input[dsl.Dataset],
    actions: dsl.Input[dsl.Dataset],
    registered: dsl.Input[dsl.Artifact],
    models: str,
    version: str,
    stamp: str,
    day: str,
    indexed: str,
    due: str,
    metrics: dsl.Output[dsl.Metrics],
):
    """Hand over the day's vectors and actions to the next, once what it changed is registered."""
    from pathlib import Path

    from components.days.handover import Handover, keep_day

    done = keep_day(
        Handover.open(models, version).as_of(stamp),
        vectors=Path(vectors.path),
        actions=Path(actions.path, "actions"),
        day=day,
        indexed=day if due == "yes" else indexed,
    )
    metrics.log_metric("day", done.number)
