"""Kubeflow steps of the evaluation room."""

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def evaluate_methods(
    examples: dsl.Input[dsl.Dataset],
    tokens: dsl.Input[dsl.Dataset],
    vocabulary: dsl.Input[dsl.Model],
    entities: dsl.Input[dsl.Model],
    truth: dsl.Input[dsl.Dataset],
    fasttext_vectors: dsl.Input[dsl.Dataset],
    fasttext_slices: dsl.Input[dsl.Model],
    pretrained_vectors: dsl.Input[dsl.Dataset],
    pretrained_slices: dsl.Input[dsl.Model],
    finetuned_vectors: dsl.Input[dsl.Dataset],
    finetuned_slices: dsl.Input[dsl.Model],
    finetuned: dsl.Input[dsl.Model],
    end_to_end: dsl.Input[dsl.Dataset],
    sequences: dsl.Input[dsl.Dataset],
    config: dict,
    seed: int,
    measured: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
):
    """Measure every method, and the floors, on members that no model has seen."""
    from pathlib import Path

    from components.evaluation.config import EvaluationConfig
    from components.evaluation.evaluate import OURS
    from components.evaluation.whole_run import Inputs, Trained, measure_run

    inputs = (examples, tokens, vocabulary, entities, finetuned, truth)
    trained = {
        "fastText+Slice": (fasttext_vectors, fasttext_slices),
        "BERT_PT+Slice": (pretrained_vectors, pretrained_slices),
        "BERT_FT+Slice": (finetuned_vectors, finetuned_slices),
    }
    rows = measure_run(
        Inputs(*(Path(artifact.path) for artifact in inputs)),
        {
            method: Trained(Path(vectors.path), Path(slices.path))
            for method, (vectors, slices) in trained.items()
        },
        Path(measured.path),
        EvaluationConfig(**config),
        baselines=[
            path for of in (end_to_end, sequences) for path in sorted(Path(of.path).iterdir())
        ],
        seed=seed,
    )
    for row in rows:
        if row["method"] == OURS:
            for figure in ("p@1", "p@5", "coverage"):
                metrics.log_metric(f"{row['dataset']} {figure}", row[figure])


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def measure_rankers(
    lists: dsl.Input[dsl.Dataset],
    vectors: dsl.Input[dsl.Dataset],
    trees: dsl.Input[dsl.Model],
    base: dsl.Input[dsl.Model],
    tower: dsl.Input[dsl.Model],
    base_no_history: dsl.Input[dsl.Model],
    tower_no_history: dsl.Input[dsl.Model],
    config: dict,
    seed: int,
    measured: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
):
    """Measure every ranker on the searches of test members."""
    from pathlib import Path

    from components.evaluation.config import EvaluationConfig
    from components.evaluation.ranking import (
        BASE,
        BASE_NO_HISTORY,
        TOWER,
        TOWER_NO_HISTORY,
        measure_trained,
    )

    tables = measure_trained(
        Path(lists.path),
        Path(vectors.path),
        trees=Path(trees.path),
        rankers={
            BASE: Path(base.path),
            TOWER: Path(tower.path),
            BASE_NO_HISTORY: Path(base_no_history.path),
            TOWER_NO_HISTORY: Path(tower_no_history.path),
        },
        target=Path(measured.path),
        config=EvaluationConfig(**config),
        seed=seed,
    )
    for row in tables.get("ranking_differences", []):
        if row["method"] in (TOWER, TOWER_NO_HISTORY):
            metrics.log_metric(
                f"{row['figure']}: {row['method']} over {row['against']}", row["difference"]
            )


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def measure_search(
    index: dsl.Input[dsl.Artifact],
    config: dict,
    seed: int,
    measured: dsl.Output[dsl.Artifact],
):
    """Measure recall and speed of the search for similar members."""
    from pathlib import Path

    from components.evaluation.neighbours import measure_neighbours
    from components.neighbours.config import NeighboursConfig

    measure_neighbours(Path(index.path), Path(measured.path), NeighboursConfig(**config), seed=seed)


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def compare_contexts(
    encoder: dsl.Input[dsl.Model],
    tokens: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Dataset],
    vectors: dsl.Input[dsl.Dataset],
    slices: dsl.Input[dsl.Model],
    embed: dict,
    slice_config: dict,
    config: dict,
    seed: int,
    measured: dsl.Output[dsl.Artifact],
):
    """Compare vectors of long contexts: chunk by chunk, in one pass, of the newest chunk."""
    from pathlib import Path

    from components.encoder.config import EmbedConfig
    from components.evaluation.config import EvaluationConfig
    from components.evaluation.contexts import compare_contexts
    from components.extreme.config import SliceConfig

    inputs = (encoder, tokens, examples, vectors, slices, measured)
    compare_contexts(
        *(Path(artifact.path) for artifact in inputs),
        embed=EmbedConfig(**embed),
        slice_config=SliceConfig(**slice_config),
        config=EvaluationConfig(**config),
        seed=seed,
    )


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def compare_in_session(
    encoder: dsl.Input[dsl.Model],
    sessions: dsl.Input[dsl.Dataset],
    tokens: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Dataset],
    slices: dsl.Input[dsl.Model],
    vertical: dict,
    embed: dict,
    config: dict,
    seed: int,
    measured: dsl.Output[dsl.Artifact],
):
    """Compare daily and in-session vectors at predicting what members do next."""
    from pathlib import Path

    from components.activity.config import Vertical
    from components.encoder.config import EmbedConfig
    from components.evaluation.config import EvaluationConfig
    from components.evaluation.in_session import compare_in_session

    inputs = (encoder, sessions, tokens, examples, slices, measured)
    compare_in_session(
        *(Path(artifact.path) for artifact in inputs),
        vertical=Vertical(**vertical),
        embed=EmbedConfig(**embed),
        config=EvaluationConfig(**config),
        seed=seed,
    )


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def draw_report(
    name: str,
    measured: dsl.Input[dsl.Artifact],
    ranking: dsl.Input[dsl.Artifact],
    neighbours: dsl.Input[dsl.Artifact],
    audience: dsl.Input[dsl.Model],
    hires: dsl.Input[dsl.Model],
    candidates: dsl.Input[dsl.Model],
    news: dsl.Input[dsl.Model],
    appendix: dsl.Input[dsl.Model],
    contexts: dsl.Input[dsl.Artifact],
    in_session: dsl.Input[dsl.Artifact],
    sessions: dsl.Input[dsl.Dataset],
    described: dsl.Input[dsl.Artifact],
    pretrained: dsl.Input[dsl.Model],
    finetuned: dsl.Input[dsl.Model],
    config: dict,
    seed: int,
    report: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
):
    """Draw tables and plots: as JSON, as a page, and as what the Kubeflow UI shows."""
    import shutil
    from pathlib import Path

    from components.evaluation.config import EvaluationConfig
    from components.evaluation.uses import uses_of
    from components.evaluation.whole_run import markdown, report_run

    tables = report_run(
        Path(report.path),
        recipe=name,
        measured=Path(measured.path),
        sessions=Path(sessions.path),
        described=Path(described.path),
        uses=uses_of(
            ranking=Path(ranking.path),
            neighbours=Path(neighbours.path),
            audience=Path(audience.path),
            hires=Path(hires.path),
            candidates=Path(candidates.path),
            news=(Path(news.path), Path(appendix.path)),
            contexts=Path(contexts.path),
            in_session=Path(in_session.path),
        ),
        logs={
            "Pre-training": Path(pretrained.path, "log.jsonl"),
            "Fine-tuning": Path(finetuned.path, "log.jsonl"),
        },
        shown=EvaluationConfig(**config).shown,
        seed=seed,
    )
    shutil.copyfile(Path(report.path, "report.html"), page.path)
    Path(summary.path).write_text(markdown(tables))
