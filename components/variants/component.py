"""Kubeflow steps of the variants room."""

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def offer_encoder(
    encoder: dsl.Input[dsl.Model],
    vectors: dsl.Input[dsl.Dataset],
    vertical: dict,
    activity: dict,
    embed: dict,
    recipe: str,
    run: str,
    seed: int,
    variants: dsl.Output[dsl.Model],
):
    """Package the fine-tuned encoder."""
    from pathlib import Path

    from components.variants.packaging import Origin, package_encoder

    package_encoder(
        Path(variants.path),
        Path(encoder.path),
        Path(vectors.path),
        Origin.of(vertical, activity, embed, recipe, run, seed),
    )


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def offer_suggestions(
    encoder: dsl.Input[dsl.Model],
    vectors: dsl.Input[dsl.Dataset],
    slices: dsl.Input[dsl.Model],
    words: dsl.Input[dsl.Model],
    word_vectors: dsl.Input[dsl.Dataset],
    word_slices: dsl.Input[dsl.Model],
    examples: dsl.Input[dsl.Dataset],
    measured: dsl.Input[dsl.Dataset],
    vertical: dict,
    activity: dict,
    embed: dict,
    recipe: str,
    run: str,
    seed: int,
    variants: dsl.Output[dsl.Model],
):
    """Package the suggestions of the fine-tuned encoder, and those of fastText."""
    from pathlib import Path

    from components.variants.names import FASTTEXT, FINETUNED
    from components.variants.packaging import Origin, package_suggestions

    package_suggestions(
        Path(variants.path),
        {FINETUNED: Path(encoder.path), FASTTEXT: Path(words.path)},
        {FINETUNED: Path(vectors.path), FASTTEXT: Path(word_vectors.path)},
        {FINETUNED: Path(slices.path), FASTTEXT: Path(word_slices.path)},
        Path(examples.path),
        Path(measured.path),
        Origin.of(vertical, activity, embed, recipe, run, seed),
    )


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def offer_rankers(
    base: dsl.Input[dsl.Model],
    tower: dsl.Input[dsl.Model],
    base_no_history: dsl.Input[dsl.Model],
    tower_no_history: dsl.Input[dsl.Model],
    features: dsl.Input[dsl.Dataset],
    measured: dsl.Input[dsl.Dataset],
    vertical: dict,
    activity: dict,
    embed: dict,
    recipe: str,
    run: str,
    seed: int,
    variants: dsl.Output[dsl.Model],
):
    """Package the rankers."""
    from pathlib import Path

    from components.variants.packaging import RANKERS, Origin, package_rankers

    trained = (base_no_history, tower_no_history, base, tower)
    package_rankers(
        Path(variants.path),
        {name: Path(ranker.path) for name, ranker in zip(RANKERS, trained, strict=True)},
        Path(features.path),
        Path(measured.path),
        Origin.of(vertical, activity, embed, recipe, run, seed),
    )


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def offer_audiences(
    audience: dsl.Input[dsl.Model],
    index: dsl.Input[dsl.Artifact],
    entities: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Dataset],
    features: dsl.Input[dsl.Dataset],
    encoder: dsl.Input[dsl.Model],
    vertical: dict,
    activity: dict,
    embed: dict,
    recipe: str,
    run: str,
    seed: int,
    variants: dsl.Output[dsl.Model],
):
    """Package the audience of exact matches, and the expanded one."""
    from pathlib import Path

    from components.variants.packaging import Origin, Uses, package_audiences

    uses = Uses(
        features=Path(features.path),
        neighbours=Path(index.path),
        entities=Path(entities.path),
        examples=Path(examples.path),
        encoder=Path(encoder.path),
    )
    package_audiences(
        Path(variants.path),
        Path(audience.path),
        uses,
        Origin.of(vertical, activity, embed, recipe, run, seed),
    )


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def offer_candidates(
    candidates: dsl.Input[dsl.Model],
    encoder: dsl.Input[dsl.Model],
    vectors: dsl.Input[dsl.Dataset],
    slices: dsl.Input[dsl.Model],
    words: dsl.Input[dsl.Model],
    word_vectors: dsl.Input[dsl.Dataset],
    word_slices: dsl.Input[dsl.Model],
    examples: dsl.Input[dsl.Dataset],
    vertical: dict,
    activity: dict,
    embed: dict,
    recipe: str,
    run: str,
    seed: int,
    variants: dsl.Output[dsl.Model],
):
    """Package candidate selection by the baseline's clauses, and by predicted entities too."""
    from pathlib import Path

    from components.variants.names import FASTTEXT, FINETUNED
    from components.variants.packaging import Origin, package_candidates

    package_candidates(
        Path(variants.path),
        Path(candidates.path),
        {FINETUNED: Path(encoder.path), FASTTEXT: Path(words.path)},
        {FINETUNED: Path(vectors.path), FASTTEXT: Path(word_vectors.path)},
        {FINETUNED: Path(slices.path), FASTTEXT: Path(word_slices.path)},
        Path(examples.path),
        Origin.of(vertical, activity, embed, recipe, run, seed),
    )


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def register_variants(
    encoder: dsl.Input[dsl.Model],
    suggestions: dsl.Input[dsl.Model],
    rankers: dsl.Input[dsl.Model],
    audiences: dsl.Input[dsl.Model],
    candidates: dsl.Input[dsl.Model],
    registry: str,
    experiments: str,
    registered: dsl.Output[dsl.Artifact],
):
    """Register every variant, and add those that are new to their experiments at 0%.

    Experiments are a folder of manifests, or `kubernetes:NAMESPACE`: then each variant's
    InferenceService is applied there too, with the registrar's own account where it is mounted.
    """
    import json
    from pathlib import Path

    from components.cluster.client import REGISTRAR
    from components.variants.offer import offer
    from components.variants.packaging import packages_below

    packages = [
        package
        for service in (encoder, suggestions, rankers, audiences, candidates)
        for package in packages_below(Path(service.path))
    ]
    offered = offer(packages, registry, experiments, credentials=REGISTRAR)
    records = [record._asdict() for record in offered.records]
    Path(registered.path).write_text(
        json.dumps({"variants": records, "experiments": offered.told}, indent=1) + "\n"
    )
