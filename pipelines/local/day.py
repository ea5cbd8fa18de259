"""Run the daily pipeline on this machine, with the models of a finished training run."""

from pathlib import Path
from typing import Any

from rich.console import Console

from components.days.handover import Handover
from pipelines.daily import daily
from pipelines.local import runs
from pipelines.local.runner import RunStopped, StepFailed, run_pipeline

DAYS = "days"
"""Where a training run's directory keeps those of the days after it."""


def launch_day(
    run: runs.Run,
    *,
    source: dict[str, Any],
    shards: int,
    refresh_index_every: int,
    console: Console,
) -> runs.Run:
    """Run a day to its end.

    Args:
        run: the training run whose directory keeps the day's.
        source: where the new actions are, as in a recipe.
        shards: that members are embedded in.
        refresh_index_every: days from one index of members to the next.
        console: where to show progress.

    Returns:
        The day's run.

    Raises:
        DaysError: no training run below the same root has handed over its models.
        StepFailed, RunStopped: with the reason; the same command tries again.
    """
    root = run.path.parent
    models = str(root / runs.MODELS)
    Handover.open(models)
    day = runs.create("day", run.recipe, run.overrides, root=run.path / DAYS)
    arguments = {
        "source": source,
        "models": models,
        "shards": shards,
        "refresh_index_every": refresh_index_every,
        "store": f"lmdb:{root / runs.STORE}",
        "registry": str(root / runs.REGISTRY),
        "experiments": str(root / runs.EXPERIMENTS),
    }
    try:
        summary = run_pipeline(daily.pipeline_spec, arguments, run=day, console=console)
    except (StepFailed, RunStopped) as end:
        raise type(end)(f"{end}\nnothing was handed over: start the day again") from None
    console.print(f"{len(summary.finished)} steps in {summary.seconds:,.0f} s", highlight=False)
    return runs.finish(day)


def next_day(run: runs.Run, target: Path, *, seed: int) -> dict[str, Any]:
    """Write a day's actions that follow what is known, and say where they are, as a source.

    Args:
        run: the training run.
        target: Parquet file to write.
        seed: of what is drawn.
    """
    from components.days.tomorrow import write_tomorrow

    handed = Handover.open(str(run.path.parent / runs.MODELS))
    write_tomorrow(handed.place("actions"), target, seed=seed + handed.day.number)
    return {"kind": "files", "path": str(target)}
