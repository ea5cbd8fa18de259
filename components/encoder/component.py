"""Kubeflow steps of the encoder room."""

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def pretrain_encoder(
    tokens: dsl.Input[dsl.Dataset],
    vocabulary: dsl.Input[dsl.Model],
    config: dict,
    sizes: dict,
    seed: int,
    checkpoints: str,
    job: dict,
    encoder: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
):
    """Train an encoder on masked words, here or by a TrainJob; resumes from its checkpoint."""
    import shutil
    from pathlib import Path
    from typing import Any

    from components.encoder.config import EncoderConfig, PretrainConfig

    places = (Path(tokens.path), Path(vocabulary.path), Path(encoder.path))
    settings: dict[str, Any] = {
        "encoder": EncoderConfig(**sizes),
        "config": PretrainConfig(**config),
        "seed": seed,
    }
    if job:
        from components.cluster.config import JobConfig
        from components.encoder.on_cluster import pretrain_on_cluster

        log = pretrain_on_cluster(*places, **settings, job=JobConfig(**job))
    else:
        from components.encoder.pretrain import pretrain

        own_checkpoints = Path(checkpoints, "pretrain")
        log = pretrain(*places, **settings, checkpoints=own_checkpoints)
        shutil.rmtree(own_checkpoints)
    for name, value in log[-1].items():
        metrics.log_metric(name, value)


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def finetune_encoder(
    pretrained: dsl.Input[dsl.Model],
    tokens: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Dataset],
    config: dict,
    seed: int,
    checkpoints: str,
    encoder: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
):
    """Train encoder and label layer on members' entities; resumes from its checkpoint."""
    import shutil
    from pathlib import Path

    from components.encoder.config import FinetuneConfig
    from components.encoder.finetune import finetune

    own_checkpoints = Path(checkpoints, "finetune")
    log = finetune(
        Path(pretrained.path),
        Path(tokens.path),
        Path(examples.path),
        Path(encoder.path),
        config=FinetuneConfig(**config),
        seed=seed,
        checkpoints=own_checkpoints,
    )
    for name, value in log[-1].items():
        metrics.log_metric(name, value)
    shutil.rmtree(own_checkpoints)


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def embed(
    encoder: dsl.Input[dsl.Model],
    tokens: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Dataset],
    config: dict,
    vectors: dsl.Output[dsl.Dataset],
):
    """Turn each example's context into its activity vector."""
    from pathlib import Path

    from components.encoder.config import EmbedConfig
    from components.encoder.embed import embed_examples

    embed_examples(
        Path(encoder.path),
        Path(tokens.path),
        Path(examples.path),
        Path(vectors.path),
        config=EmbedConfig(**config),
    )


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def embed_everyone(
    encoder: dsl.Input[dsl.Model],
    tokens: dsl.Input[dsl.Dataset],
    config: dict,
    vectors: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
):
    """Turn every member's whole trail into the activity vector that readers get."""
    from pathlib import Path

    from components.encoder.config import EmbedConfig
    from components.encoder.embed import embed_members

    counts = embed_members(
        Path(encoder.path),
        Path(tokens.path),
        Path(vectors.path),
        config=EmbedConfig(**config),
        previous=None,
    )
    for name, count in counts.items():
        metrics.log_metric(name, count)
