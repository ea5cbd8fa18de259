"""Kubeflow steps of the text room."""

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def learn_vocabulary(
    sessions: dsl.Input[dsl.Dataset],
    config: dict,
    vertical: dict,
    split: dict,
    seed: int,
    vocabulary: dsl.Output[dsl.Model],
):
    """Learn subwords from the texts of the training members."""
    from pathlib import Path

    from components.activity.config import SplitConfig, Vertical
    from components.text.config import TextConfig
    from components.text.vocabulary import train_vocabulary

    train_vocabulary(
        Path(sessions.path),
        Path(vocabulary.path),
        TextConfig(**config),
        Vertical(**vertical),
        split=SplitConfig(**split),
        seed=seed,
    )


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def tokenise(
    sessions: dsl.Input[dsl.Dataset],
    vocabulary: dsl.Input[dsl.Model],
    config: dict,
    split: dict,
    seed: int,
    tokens: dsl.Output[dsl.Dataset],
):
    """Turn every member's sessions into a document of subword ids."""
    from pathlib import Path

    from components.activity.config import SplitConfig
    from components.text.config import TextConfig
    from components.text.documents import write_tokens

    write_tokens(
        Path(sessions.path),
        Path(vocabulary.path),
        Path(tokens.path),
        TextConfig(**config),
        split=SplitConfig(**split),
        seed=seed,
    )
