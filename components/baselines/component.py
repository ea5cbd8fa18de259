"""Kubeflow steps of the baselines room."""

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def learn_words(
    sessions: dsl.Input[dsl.Dataset],
    config: dict,
    vertical: dict,
    split: dict,
    seed: int,
    words: dsl.Output[dsl.Model],
    entities: dsl.Output[dsl.Model],
):
    """Train fastText on everything members did, and on the entities they named."""
    import functools
    from pathlib import Path

    from components.activity.config import SplitConfig, Vertical
    from components.baselines.config import FastTextConfig
    from components.baselines.fasttext import train_word_vectors

    learn = functools.partial(
        train_word_vectors,
        config=FastTextConfig(**config),
        vertical=Vertical(**vertical),
        split=SplitConfig(**split),
        seed=seed,
    )
    learn(Path(sessions.path), Path(words.path), sequence="action")
    learn(Path(sessions.path), Path(entities.path), sequence="entity")


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def pool_words(
    words: dsl.Input[dsl.Model],
    sessions: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Dataset],
    vectors: dsl.Output[dsl.Dataset],
):
    """Give each example's context the mean of its word vectors."""
    from pathlib import Path

    from components.baselines.fasttext import WordVectors, context_vectors
    from components.encoder.vectors import save_vectors
    from components.labels.examples import Examples

    table = Examples.open(Path(examples.path)).table
    pooled = context_vectors(
        WordVectors.load(Path(words.path)),
        Path(sessions.path),
        member_ids=table["member_id"],
        first_session=table["first_session"],
        context_end=table["context_end"],
    )
    save_vectors(Path(vectors.path), pooled, encoder="fastText")


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def pool_everyone(
    words: dsl.Input[dsl.Model],
    sessions: dsl.Input[dsl.Dataset],
    vectors: dsl.Output[dsl.Dataset],
):
    """Give every member's whole trail the mean of its word vectors."""
    from pathlib import Path

    from components.baselines.fasttext import WordVectors, member_vectors
    from components.encoder.vectors import save_member_vectors

    pooled = member_vectors(WordVectors.load(Path(words.path)), Path(sessions.path))
    save_member_vectors(Path(vectors.path), pooled)


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def train_end_to_end(
    sessions: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Dataset],
    words: dsl.Input[dsl.Model],
    config: dict,
    evaluation: dict,
    seed: int,
    checkpoints: str,
    predictions: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
):
    """Train the networks over words that the recipe names, and rank for the test members."""
    import shutil
    from pathlib import Path

    from components.baselines.config import END_TO_END, BaselinesConfig
    from components.evaluation.config import EvaluationConfig

    settings, measured = BaselinesConfig(**config), EvaluationConfig(**evaluation)
    Path(predictions.path).mkdir(parents=True)
    for method in settings.named(END_TO_END):
        from components.baselines.end_to_end import Inputs, train_end_to_end

        own_checkpoints = Path(checkpoints, method)
        log = train_end_to_end(
            method,
            Inputs(Path(sessions.path), Path(examples.path), Path(words.path)),
            Path(predictions.path, method),
            settings,
            members=measured.members,
            depth=measured.depth,
            seed=seed,
            checkpoints=own_checkpoints,
        )
        for name, value in log[-1].items():
            metrics.log_metric(f"{method}: {name}", value)
        shutil.rmtree(own_checkpoints, ignore_errors=True)


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def train_sequences(
    sessions: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Dataset],
    words: dsl.Input[dsl.Model],
    config: dict,
    vertical: dict,
    evaluation: dict,
    seed: int,
    checkpoints: str,
    predictions: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
):
    """Train those that write the next query that the recipe names, and ask for test members."""
    import shutil
    from pathlib import Path

    from components.activity.config import Vertical
    from components.baselines.config import SEQUENCES, BaselinesConfig
    from components.evaluation.config import EvaluationConfig

    settings, measured = BaselinesConfig(**config), EvaluationConfig(**evaluation)
    Path(predictions.path).mkdir(parents=True)
    for method in settings.named(SEQUENCES):
        from components.baselines.end_to_end import Inputs
        from components.baselines.sequence import train_sequence_baseline

        own_checkpoints = Path(checkpoints, method)
        log = train_sequence_baseline(
            method,
            Inputs(Path(sessions.path), Path(examples.path), Path(words.path)),
            Path(predictions.path, method),
            settings.sequence,
            vertical=Vertical(**vertical),
            members=measured.members,
            depth=measured.depth,
            seed=seed,
            checkpoints=own_checkpoints,
        )
        for entry in log[-1:]:  # none where nobody searches
            for name, value in entry.items():
                metrics.log_metric(f"{method}: {name}", value)
        shutil.rmtree(own_checkpoints, ignore_errors=True)
