"""Start or continue a run of the training pipeline on this machine, and publish its report."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import yaml
from rich.console import Console

from components.files import whole_file
from pipelines.local import runs
from pipelines.local.runner import RunStopped, StepFailed, Summary, run_pipeline
from pipelines.recipe import Recipe, load_recipe, read_recipe
from pipelines.training import PUBLISHED, training

DEFAULT_RECIPE = "quickstart"


def launch(
    *,
    recipe: str | None,
    overrides: Mapping[str, str],
    resume: str | None,
    root: Path,
    console: Console,
) -> runs.Run:
    """Run the training pipeline to its report.

    Args:
        recipe: a name or a path; the default recipe, or that of the resumed run, when None.
        overrides: dotted keys set beside the recipe.
        resume: None for a new run, a run's name to continue that run, or the empty string for the
            newest unfinished run of the recipe.
        root: where runs are kept.
        console: where to show progress and the closing summary.

    Returns:
        The finished run.

    Raises:
        RecipeError, RunError: before anything is written.
        StepFailed, RunStopped: with the command that continues the run.
    """
    if resume is None:
        run, settings = _begin(recipe or DEFAULT_RECIPE, overrides, root)
    else:
        run, settings = _continue(recipe, overrides, resume, root)
    with whole_file(run.settings) as aside:
        aside.write_text(yaml.safe_dump(settings.sections(), sort_keys=False))
    console.print(f"recipe {run.name} in {runs.shown(run.path)}", highlight=False, soft_wrap=True)
    arguments = {
        "recipe": read_recipe(run.recipe),
        "overrides": run.overrides or {"seed": str(settings.seed)},
        "checkpoints": str(run.checkpoints),
        "store": f"lmdb:{run.path.parent / runs.STORE}",
        "registry": str(run.path.parent / runs.REGISTRY),
        "experiments": str(run.path.parent / runs.EXPERIMENTS),
        "models": str(run.path.parent / runs.MODELS),
    }
    how_to_continue = f"continue with: intent run --resume {run.path.name}{_option(root)}"
    try:
        summary = run_pipeline(training.pipeline_spec, arguments, run=run, console=console)
    except StepFailed as failure:
        raise StepFailed(f"{failure}\n{how_to_continue}") from failure
    except RunStopped as stop:
        raise RunStopped(f"{stop}\n{how_to_continue}") from None
    _publish(run)
    finished = runs.finish(run)
    _close(run, summary, console)
    return finished


def _begin(recipe: str, overrides: Mapping[str, str], root: Path) -> tuple[runs.Run, Recipe]:
    settings = load_recipe(recipe, overrides)
    named = recipe if not Path(recipe).is_file() else str(Path(recipe).resolve())
    return runs.create(settings.name, named, dict(overrides), root=root), settings


def _continue(
    recipe: str | None, overrides: Mapping[str, str], resume: str, root: Path
) -> tuple[runs.Run, Recipe]:
    name = load_recipe(recipe or DEFAULT_RECIPE).name
    run = runs.find(resume, root=root) if resume else runs.newest_unfinished(name, root=root)
    if recipe and run.name != name:
        raise runs.RunError(f"{run.path.name} is a run of recipe {run.name}, not of {name}")
    run = replace(run, overrides=run.overrides | dict(overrides), finished=False)
    settings = load_recipe(run.recipe, run.overrides)
    run.save()
    return run, settings


def _publish(run: runs.Run) -> None:
    for name, source in PUBLISHED.items():
        with whole_file(run.path / name) as aside:
            shutil.copyfile(run.path / source, aside)


def _close(run: runs.Run, summary: Summary, console: Console) -> None:
    kept = f", {len(summary.kept)} of them kept," if summary.kept else ""
    console.print(
        f"{len(summary.finished)} steps{kept} in {summary.seconds:,.0f} s; "
        f"peak memory {summary.peak.peak_bytes / 1e9:.1f} GB in {summary.peak.step}\n",
        highlight=False,
        soft_wrap=True,
    )


def _option(root: Path) -> str:
    return "" if root == runs.ROOT else f" --runs {root}"
