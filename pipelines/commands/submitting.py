"""Pipelines on Kubeflow: `intent compile`, `submit` and `pending`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.commands.arguments import CommandError, add_overrides, setting

DEFAULT = "training"


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands."""
    _add_compile(commands)
    _add_submit(commands)
    _add_pending(commands)


def _add_compile(commands: argparse._SubParsersAction) -> None:
    compile_ = commands.add_parser(
        "compile",
        help="write a pipeline for Kubeflow",
        description="Compile a pipeline to the YAML that Kubeflow Pipelines runs: a package to "
        "upload, or Pipeline and PipelineVersion resources to apply.",
    )
    compile_.add_argument(
        "--pipeline",
        metavar="NAME",
        default=DEFAULT,
        help="training, daily or experiment (default: training)",
    )
    compile_.add_argument(
        "--format",
        metavar="FORMAT",
        default="package",
        choices=("package", "kubernetes"),
        help="package or kubernetes (default: package)",
    )
    compile_.add_argument("--image", metavar="IMAGE", help="in which steps run (default: ours)")
    compile_.add_argument("--queue", metavar="NAME", help="Kueue queue of every step's pod")
    compile_.add_argument("--namespace", metavar="NAME", help="of the resources")
    compile_.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        help="where to write it (default: PIPELINE.yaml)",
    )
    compile_.set_defaults(do=_compile)


def _add_submit(commands: argparse._SubParsersAction) -> None:
    submit = commands.add_parser(
        "submit",
        help="start a pipeline on Kubeflow",
        description="Start a run through the API of Kubeflow Pipelines: of the version that is "
        "installed if its content is the same, of one uploaded now otherwise. The variable "
        "KFP_TOKEN holds the API's token where it wants one.",
        epilog="examples:\n"
        "  intent submit --host http://localhost:8080 --recipe paper --accelerator a100 --wait\n"
        "  intent submit --host http://localhost:8080 --pipeline daily --recurring '0 0 4 * * *'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    submit.add_argument("--host", metavar="URL", required=True, help="of the API")
    submit.add_argument(
        "--pipeline", metavar="NAME", default=DEFAULT, help="see compile (default: training)"
    )
    submit.add_argument("--recipe", metavar="NAME|FILE", help="of the training pipeline")
    add_overrides(submit)
    submit.add_argument("--accelerator", metavar="NAME", help="none, v100, a100, h100 or your own")
    submit.add_argument(
        "--parameter",
        dest="parameters",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        type=setting,
        help="any other parameter of the pipeline, as YAML; may be repeated",
    )
    submit.add_argument("--namespace", metavar="NAME", help="where Kubeflow has several users")
    submit.add_argument(
        "--experiment", metavar="NAME", default="Default", help="Kubeflow's group of runs"
    )
    submit.add_argument("--image", metavar="IMAGE", help="in which steps run (default: ours)")
    submit.add_argument(
        "--wait", action="store_true", help="follow the run, and say why it waits or failed"
    )
    submit.add_argument(
        "--recurring",
        metavar="CRON",
        help="start a run at these times instead: six fields, seconds first, one run at a time",
    )
    submit.set_defaults(do=_submit)


def _add_pending(commands: argparse._SubParsersAction) -> None:
    pending = commands.add_parser(
        "pending",
        help="say why a run's pods wait",
        description="Say why pods of a run wait or ended: which nodes they look for, which taints "
        "keep them off, what the scheduler says. Reads pods through the cluster's own API "
        "(KUBECONFIG).",
    )
    pending.add_argument("--namespace", metavar="NAME", required=True, help="of the run's pods")
    pending.add_argument("--run", metavar="ID", help="of the run (default: every pipeline pod)")
    pending.set_defaults(do=_pending)


def _submit(options: argparse.Namespace) -> None:
    from pipelines.submit import Submitter

    arguments = _arguments(options)
    submitter = Submitter(options.host, options.namespace)
    submitted = submitter.start(
        options.pipeline,
        arguments,
        experiment=options.experiment,
        cron=options.recurring,
        image=options.image,
    )
    print(f"{submitted.version}{' uploaded' if submitted.uploaded else ''}: {submitted.url}")
    if options.wait and not options.recurring:
        submitter.wait(submitted.id, show=print, pending=_why(options.namespace))


def _arguments(options: argparse.Namespace) -> dict[str, Any]:
    import yaml

    from pipelines.recipe import load_recipe, read_recipe

    given = {name: yaml.safe_load(value) for name, value in options.parameters}
    if options.accelerator:
        given["accelerator"] = options.accelerator
    if options.recipe or options.overrides:
        if options.pipeline != DEFAULT:
            raise CommandError(f"the pipeline {options.pipeline} takes no recipe: see --parameter")
        overrides = dict(options.overrides)
        recipe = options.recipe or "quickstart"
        load_recipe(recipe, overrides)
        given["recipe"] = read_recipe(recipe)
        if overrides:
            given["overrides"] = overrides
    return given


def _why(namespace: str | None) -> Callable[[str], list[str]]:
    """Ask the cluster itself why pods wait, as long as it answers."""
    from components.cluster.client import connect, own_namespace
    from components.cluster.errors import ClusterError
    from pipelines.submit import pending_reasons

    def ask(selector: str) -> list[str]:
        try:
            return pending_reasons(connect(), namespace or own_namespace(), selector)
        except ClusterError as error:
            return [f"why pods wait is not known: {error}"]

    return ask


def _pending(options: argparse.Namespace) -> None:
    from components.cluster.client import connect
    from pipelines.submit import RUN_LABEL, pending_reasons

    selector = f"{RUN_LABEL}={options.run}" if options.run else RUN_LABEL
    found = pending_reasons(connect(), options.namespace, selector)
    print("\n".join(found) or "no pod waits")


def _compile(options: argparse.Namespace) -> None:
    from components.image import TRAIN_IMAGE
    from pipelines.compiled import write_pipeline

    target = options.output or Path(f"{options.pipeline}.yaml")
    version = write_pipeline(
        options.pipeline,
        target,
        form=options.format,
        image=options.image or TRAIN_IMAGE,
        queue=options.queue,
        namespace=options.namespace,
    )
    print(f"{target}: {version}")
