"""Variants: `intent variant register` and `list`."""

import argparse
from pathlib import Path

from pipelines.commands.arguments import add_runs
from pipelines.local import runs


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands."""
    variant = commands.add_parser(
        "variant",
        help="register models as variants of a service, and list them",
        description="A variant is a packaged model that can answer for a service: the record of "
        "what it was made from, its InferenceService, and its place in an experiment, at 0%.",
    )
    actions = variant.add_subparsers(title="actions", metavar="ACTION", required=True)
    register = actions.add_parser(
        "register",
        help="register a package, and add it to its experiment at 0%%",
        description="Put packages into the registry, and those that are new into their service's "
        "experiment at 0%. On a cluster, each InferenceService is applied too. Registering the "
        "same content again changes nothing.",
    )
    register.add_argument("packages", metavar="PACKAGE", type=Path, nargs="+", help="a directory")
    register.add_argument(
        "--experiment",
        metavar="NAME",
        help="to add it to; needed where the service has several",
    )
    register.add_argument(
        "--experiments",
        metavar="PLACE",
        help="a folder of manifests, or kubernetes:NAMESPACE for a cluster, kubernetes: for your "
        "own namespace (default: experiments, beside the runs)",
    )
    register.add_argument(
        "--manifests",
        metavar="DIR",
        type=Path,
        help="write InferenceServices and experiments here, to be committed, and nowhere else",
    )
    register.add_argument(
        "--dry-run", action="store_true", help="say what would change, and change nothing"
    )
    _add_registry(register)
    add_runs(register)
    register.set_defaults(do=_register)

    listed = actions.add_parser(
        "list",
        help="list the registered versions of a variant",
        description="List the registered versions of a variant, the newest last.",
    )
    listed.add_argument("model", metavar="MODEL", help="such as ranker-full")
    _add_registry(listed)
    add_runs(listed)
    listed.set_defaults(do=_list)


def _add_registry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--registry",
        metavar="URL",
        help="a folder, or gs://bucket/prefix (default: registry, beside the runs)",
    )


def _register(options: argparse.Namespace) -> None:
    from components.variants.offer import offer

    offered = offer(
        options.packages,
        _registry(options),
        options.experiments or options.runs / runs.EXPERIMENTS,
        experiment=options.experiment,
        manifests=options.manifests,
        dry_run=options.dry_run,
    )
    for done in offered.records:
        state = "registered" if done.new else "was registered already"
        print(f"{done.model} version {done.version} {state}: {done.manifest}")
    for line in offered.told:
        print(f"would change: {line}" if options.dry_run else line)


def _list(options: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.table import Table

    from components.variants.registry import versions

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("version", "registered", "run", "metrics"):
        table.add_column(name)
    for record in versions(_registry(options), options.model):
        metrics = ", ".join(f"{name} {value:.3f}" for name, value in record["metrics"].items())
        run = str(record["lineage"].get("run", ""))
        table.add_row(record["version"], record["registered_at"][:16], run, metrics)
    Console().print(table)


def _registry(options: argparse.Namespace) -> str:
    return options.registry or str(options.runs / runs.REGISTRY)
