"""Kubeflow steps of the experiments room."""

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def analyse_experiment(
    manifest: dsl.Input[dsl.Artifact],
    exposures: dsl.Input[dsl.Dataset],
    outcomes: dsl.Input[dsl.Dataset],
    analysis: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
    primary: str = "auto",
):
    """Say what an experiment has shown, as JSON and as a page."""
    from pathlib import Path

    from components.experiments.commands import analyse_files

    found = analyse_files(
        Path(manifest.path),
        Path(exposures.path),
        Path(outcomes.path),
        html=Path(page.path),
        result=Path(analysis.path),
        primary=None if primary == "auto" else primary,
    )
    for row in found.comparisons:
        if row.metric == found.primary:
            metrics.log_metric(f"{row.variant} {row.metric} lift", row.lift)
            metrics.log_metric(f"{row.variant} {row.metric} p", row.always_p)
