"""Serving on this machine: `intent serve` and `fortnight`, which hand over to the servers' code."""

import argparse
import os
import sys

from pipelines.commands.arguments import CommandError, add_which_run, finished_run
from pipelines.local import runs

FORTNIGHT = "fortnight"
"""Directory of a run's simulated fortnight."""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands."""
    serve = commands.add_parser(
        "serve",
        help="serve everything a run trained, on this machine",
        description="Start a model server with every variant of a run, and a router that draws "
        "the experiments in runs/experiments before it. --down stops them.",
    )
    serve.add_argument("--down", action="store_true", help="stop what was started")
    serve.add_argument("--port", type=int, default=8080, help="of the router (default: 8080)")
    serve.add_argument("--grpc-port", type=int, default=8090, help="likewise (default: 8090)")
    add_which_run(serve)
    serve.set_defaults(do=_serve)

    fortnight = commands.add_parser(
        "fortnight",
        help="replay members against what is served for a simulated fortnight",
        description="Replay the members of a generated marketplace against servers of a run's "
        "variants for a simulated fortnight, then compare the variants: Table 7. What members "
        "click and apply to depends on what they are served. It serves by itself, experiments of "
        "its own, beside `intent serve`; one that was stopped goes on where it stood.",
    )
    fortnight.add_argument("--days", metavar="N", help="simulated days (default: 14)")
    fortnight.add_argument("--visits", metavar="N", help="mean visits per member (default: 4)")
    fortnight.add_argument("--seed", metavar="N", help="decides all but the answers (default: 1)")
    add_which_run(fortnight)
    fortnight.set_defaults(do=_fortnight)


def _serve(options: argparse.Namespace) -> None:
    state = options.runs / runs.SERVE
    if options.down:
        _hand_over("serving.local", "down", "--state", str(state))
        return
    run = finished_run(options)
    _hand_over(
        "serving.local",
        "up",
        *_packages(run),
        *("--store", f"lmdb:{run.path.parent / runs.STORE}"),
        *("--experiments", str(options.runs / runs.EXPERIMENTS)),
        *("--state", str(state)),
        *("--port", str(options.port), "--grpc-port", str(options.grpc_port)),
    )


def _fortnight(options: argparse.Namespace) -> None:
    run = finished_run(options)
    given = {name: getattr(options, name) for name in ("days", "visits", "seed")}
    _hand_over(
        "serving.fortnight",
        *("--run", str(run.path)),
        *_packages(run),
        *("--store", f"lmdb:{run.path.parent / runs.STORE}"),
        *("--state", str(run.path / FORTNIGHT)),
        *(part for name, value in given.items() if value for part in (f"--{name}", value)),
    )


def _packages(run: runs.Run) -> list[str]:
    """Name every package that a run offers, as the servers' code is told of them."""
    found = sorted(path.parent for path in run.path.glob("offer-*/variants/*/variant.json"))
    if not found:
        raise CommandError(f"{run.path.name}: offers no variants: train it again")
    return [argument for path in found for argument in ("--variant", str(path))]


def _hand_over(module: str, *arguments: str) -> None:
    """Become another program: what trains does not import what serves."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])
