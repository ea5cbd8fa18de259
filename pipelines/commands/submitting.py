"""Pipelines on Kubeflow: `intent compile`."""

import argparse
from pathlib import Path

DEFAULT = "training"


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands."""
    _add_compile(commands)


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
