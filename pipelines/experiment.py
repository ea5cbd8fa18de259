"""The experiment pipeline: a variant joins its experiment at 0%, and what it has shown is told."""

from kfp import dsl

from components.experiments.component import analyse_running_experiment, register_package
from pipelines.places import CONFIGURED
from pipelines.resolve import resolve_experiment
from pipelines.steps import REGISTRAR, Steps


@dsl.pipeline(name="intent-experiment")
def experiment(
    name: str = "ranker",
    task: str = "analyse",
    package: str = "/intent/packages/variant",
    exposures: str = CONFIGURED,
    outcomes: str = "/intent/outcomes",
    primary: str = "auto",
    experiments: str = CONFIGURED,
    registry: str = CONFIGURED,
    cpu: str = "2",
    memory: str = "8Gi",
    volume: str = "intent-store-work",
):
    """Register a package as a variant of an experiment, and say what the experiment has shown.

    Nobody is sent to a new variant: a person ramps it.

    1. resolve: check what is to be done, and where.
    2. register: put the package into the registry, and into the experiment at 0%.
    3. analyse: compare the variants; the page is in the UI, the verdict in the experiment's status.

    Args:
        name: of the experiment.
        task: register, analyse, or both.
        package: folder on the volume, or gs://bucket/prefix, of the package to register.
        exposures: folder or gs://bucket/prefix of what the router wrote; or configured.
        outcomes: folder or gs://bucket/prefix of what members did then.
        primary: metric that the verdict goes by; auto, for the experiment's own.
        experiments: where experiments are: kubernetes, kubernetes:NAMESPACE or a folder; or
            configured.
        registry: folder or gs://bucket/prefix in which variants are registered; or configured.
        cpu: processors that the analysis asks for.
        memory: its memory, for example 8Gi; also its limit.
        volume: claim of the volume that steps share, mounted at /intent.
    """
    steps = Steps(
        volume=volume, cpu=cpu, memory=memory, accelerated_cpu=cpu, accelerated_memory=memory
    )
    given = steps.light(
        "resolve",
        resolve_experiment(
            task=task, registry=registry, experiments=experiments, exposures=exposures
        ),
        settings=True,
        effect=True,
    )
    registered = steps.work(
        "register",
        register_package(
            task=given["task"],
            package=package,
            registry=given["registry"],
            experiments=given["experiments"],
            experiment=name,
        ),
        volume=True,
        settings=True,
        token=REGISTRAR,
        effect=True,
    )["registered"]
    steps.work(
        "analyse",
        analyse_running_experiment(
            registered=registered,
            task=given["task"],
            experiment=name,
            experiments=given["experiments"],
            exposures=given["exposures"],
            outcomes=outcomes,
            primary=primary,
        ),
        volume=True,
        settings=True,
        token=REGISTRAR,
        effect=True,
    )
