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


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def register_package(
    task: str,
    package: str,
    registry: str,
    experiments: str,
    experiment: str,
    registered: dsl.Output[dsl.Artifact],
):
    """Register a package and add it to the experiment at 0%; nothing when that is not asked for."""
    import json
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from components.cluster.client import REGISTRAR
    from components.days.handover import fetch
    from components.variants.offer import offer

    told: dict = {"variants": [], "experiments": []}
    if task != "analyse":
        with TemporaryDirectory() as aside:
            found = Path(aside, "package")
            fetch(package, "", found)
            offered = offer(
                [found], registry, experiments, experiment=experiment, credentials=REGISTRAR
            )
        told["variants"] = [record._asdict() for record in offered.records]
        told["experiments"] = list(offered.told)
    Path(registered.path).write_text(json.dumps(told, indent=1) + "\n")


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def analyse_running_experiment(
    registered: dsl.Input[dsl.Artifact],
    task: str,
    experiment: str,
    experiments: str,
    exposures: str,
    outcomes: str,
    primary: str,
    analysis: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
):
    """Say what an experiment has shown: as JSON, as a page, and in its resource's status."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from components.cluster.client import REGISTRAR
    from components.days.handover import fetch
    from components.experiments.commands import analyse_place
    from components.experiments.places import open_place

    if task == "register":
        Path(page.path).write_text("<p>registered, not analysed</p>\n")
        Path(analysis.path).write_text("{}\n")
        return
    place = open_place(experiments, manager="intent-store-registrar", credentials=REGISTRAR)
    with TemporaryDirectory() as aside:
        tables = {"exposures": exposures, "outcomes": outcomes}
        for name, where in tables.items():
            fetch(where, "", Path(aside, name))
        found = analyse_place(
            place,
            experiment,
            Path(aside, "exposures"),
            Path(aside, "outcomes"),
            html=Path(page.path),
            result=Path(analysis.path),
            primary=None if primary == "auto" else primary,
        )
    for row in found.comparisons:
        if row.metric == found.primary:
            metrics.log_metric(f"{row.variant} {row.metric} lift", row.lift)
            metrics.log_metric(f"{row.variant} {row.metric} p", row.always_p)
