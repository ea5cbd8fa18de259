"""What `intent suggest` prints: a trail, and what a finished run suggests after it."""

from pathlib import Path

import pyarrow as pa
from rich.console import Console

from components.extreme.suggest import (
    Suggester,
    Surface,
    read_trail,
    read_visitor,
    rendered_sessions,
)
from components.extreme.training_sets import SURFACES, load_slices
from pipelines.local.runs import Run
from pipelines.recipe import Recipe, load_recipe
from pipelines.show import print_suggestions, print_trail

TITLES: dict[Surface, str] = {"explore": "Suggested searches", "any": "Try searching for"}


def show_suggestions(
    run: Run,
    *,
    member: str | None,
    actions: Path | None,
    surface: Surface,
    k: int,
    console: Console,
) -> None:
    """Print a trail and the suggestions after it.

    Args:
        run: a finished run.
        member: a member of the run's data, or None for a visitor.
        actions: the visitor's actions.
        surface: "explore" without past labels, "any" with them.
        k: how many suggestions.
        console: where to print.

    Raises:
        IntentError: the member is unknown or the actions cannot be used.
    """
    recipe = load_recipe(str(run.settings))
    trail = _trail(run, recipe, member, actions)
    suggester = Suggester.open(
        run.path / "finetune" / "encoder",
        load_slices(run.path / "slice-finetuned" / "slices")[SURFACES[surface]],
        run.path / "examples" / "examples",
        recipe.vertical,
        recipe.embed,
    )
    print_trail(rendered_sessions(trail), console, most=8)
    found = suggester.suggest(trail, k, surface)
    rows = ((suggestion.text, suggestion.score, suggestion.seen) for suggestion in found)
    print_suggestions(TITLES[surface], rows, console)


def _trail(run: Run, recipe: Recipe, member: str | None, actions: Path | None) -> pa.Table:
    if actions is not None:
        return read_visitor(actions, recipe.vertical, recipe.activity)
    assert member is not None
    return read_trail(run.path / "sessions" / "sessions", member)
