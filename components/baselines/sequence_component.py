"""Kubeflow step of the baselines that read a member's queries in order."""

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def train_sequences(
    method: str,
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
    """Train ACG, MNSRF, CARS or LostNet to write the next query, and ask it for test members."""
    import shutil
    from pathlib import Path

    from components.activity.config import Vertical
    from components.baselines.config import BaselinesConfig
    from components.evaluation.config import EvaluationConfig

    settings, measured = BaselinesConfig(**config), EvaluationConfig(**evaluation)
    if method not in settings.methods:
        Path(predictions.path).mkdir(parents=True)
        return

    from components.baselines.end_to_end import Inputs
    from components.baselines.sequence import train_sequence_baseline

    own_checkpoints = Path(checkpoints, method)
    log = train_sequence_baseline(
        method,
        Inputs(Path(sessions.path), Path(examples.path), Path(words.path)),
        Path(predictions.path),
        settings.sequence,
        vertical=Vertical(**vertical),
        members=measured.members,
        depth=measured.depth,
        seed=seed,
        checkpoints=own_checkpoints,
    )
    for entry in log[-1:]:  # none where nobody searches
        for name, value in entry.items():
            metrics.log_metric(name, value)
    shutil.rmtree(own_checkpoints, ignore_errors=True)
