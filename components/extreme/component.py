"""Kubeflow steps of the extreme room."""

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def cut_examples(
    sessions: dsl.Input[dsl.Dataset],
    config: dict,
    vertical: dict,
    split: dict,
    seed: int,
    examples: dsl.Output[dsl.Dataset],
):
    """Cut trails into contexts and targets, and find the labels to predict."""
    from pathlib import Path

    from components.activity.config import SplitConfig, Vertical
    from components.extreme.config import ExamplesConfig
    from components.extreme.labels import build_examples

    build_examples(
        Path(sessions.path),
        Path(examples.path),
        ExamplesConfig(**config),
        Vertical(**vertical),
        split=SplitConfig(**split),
        seed=seed,
    )


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def train_slices(
    vectors: dsl.Input[dsl.Dataset],
    examples: dsl.Input[dsl.Dataset],
    config: dict,
    seed: int,
    slices: dsl.Output[dsl.Model],
):
    """Train one Slice on each data set's labels; D3 is predicted by that of D2."""
    from pathlib import Path

    from components.encoder.vectors import load_vectors
    from components.extreme.config import SliceConfig
    from components.extreme.labels import Examples
    from components.extreme.slice import train_slice
    from components.files import whole_directory

    x, data = load_vectors(Path(vectors.path)), Examples.open(Path(examples.path))
    with whole_directory(Path(slices.path)) as directory:
        for dataset in ("D1", "D1-new", "D2"):
            rows, labels = data.select(dataset, "train")
            model = train_slice(x[rows], labels, SliceConfig(**config), seed=seed)
            model.save(directory / dataset)
