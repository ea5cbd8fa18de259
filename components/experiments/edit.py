"""Change a manifest where it lies, and leave the rest of its text as a person wrote it."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from components.experiments.changes import (
    Change,
    append,
    changed,
    must_be_treatment,
    new_treatment,
    set_percent,
    stop,
)
from components.experiments.errors import ExperimentsError
from components.experiments.experiments import load_experiments
from components.experiments.manifest import Experiment, check_change, parse_text
from components.files import whole_file


def ramp(path: Path, variant: str, percent: float) -> Experiment:
    """Set the percentage of a treatment.

    Args:
        path: of the manifest.
        variant: name of the treatment.
        percent: 0 to 100, two decimals; 0 takes it from everybody at once.

    Returns:
        The experiment as it is now, under a new revision.

    Raises:
        ExperimentsError: there is no such treatment, or the manifest would not hold; the file is
            as it was.
    """

    def edit(text: str, spec: yaml.MappingNode, old: Experiment) -> str:
        must_be_treatment(old, variant)
        node = _value(_items(spec)[list(old.by_name).index(variant)], "percent")
        return _replaced(text, node, f"{percent:g}")

    return _edit(path, edit, set_percent(variant, percent))


def set_stopped(path: Path, stopped: bool = True) -> Experiment:
    """Throw the kill switch, or take it back.

    Args:
        path: of the manifest.
        stopped: whether everybody is to get control.

    Raises:
        ExperimentsError: the manifest does not hold; the file is as it was.
    """
    said = "true" if stopped else "false"

    def edit(text: str, spec: yaml.MappingNode, old: Experiment) -> str:
        if any(key.value == "stopped" for key, _ in spec.value):
            return _replaced(text, _value(spec, "stopped"), said)
        first = spec.value[0][0].start_mark
        between = ", " if spec.flow_style else "\n" + " " * first.column
        return f"{text[: first.index]}stopped: {said}{between}{text[first.index :]}"

    return _edit(path, edit, stop(stopped))


def add_variant(
    path: Path, variant: str, inference_service: str, *, dry_run: bool = False
) -> Experiment:
    """Add a treatment at 0 %, after those there are.

    Args:
        path: of the manifest.
        variant: name of the new treatment.
        inference_service: that answers for it.
        dry_run: check everything and write nothing.

    Raises:
        ExperimentsError: the name is taken, or one more treatment would move units of those there
            are; the file is as it was.
    """
    fields = new_treatment(variant, inference_service)
    flow = "{" + ", ".join(f"{key}: {value}" for key, value in fields.items()) + "}"

    def edit(text: str, spec: yaml.MappingNode, old: Experiment) -> str:
        variants, items = _value(spec, "variants"), _items(spec)
        if variants.flow_style:
            # After the last item, not before the bracket: a comma may stand there already.
            end = items[-1].end_mark.index
            return f"{text[:end]}, {flow}{text[end:]}"
        dash, last = " " * variants.start_mark.column + "-", items[-1]
        if last.flow_style:
            end, lines = last.end_mark.index, f"{dash} {flow}"
        else:
            end = max(value.end_mark.index for _, value in last.value)
            margin = "\n" + " " * last.start_mark.column
            gap = " " * (last.start_mark.column - variants.start_mark.column - 1)
            lines = dash + gap + margin.join(f"{key}: {value}" for key, value in fields.items())
        line_end = text.find("\n", end)
        end = len(text) if line_end < 0 else line_end
        return f"{text[:end]}\n{lines}{text[end:]}"

    return _edit(path, edit, append(fields), dry_run=dry_run)


def find_manifest(directory: Path, name: str) -> Path:
    """Find the file of an experiment.

    Raises:
        ExperimentsError: no manifest that holds has that name; tells which there are.
    """
    experiments = load_experiments(directory)
    if name in experiments.by_name:
        return Path(experiments.by_name[name].source)
    there = ", ".join(experiments.by_name) or "none"
    refused = "".join(f"; refused: {r.reason}" for r in experiments.rejected)
    raise ExperimentsError(f"{directory}: no experiment {name}, there is {there}{refused}")


def _edit(
    path: Path,
    edit: Callable[[str, yaml.MappingNode, Experiment], str],
    change: Change,
    *,
    dry_run: bool = False,
) -> Experiment:
    target = path.resolve()
    with _alone(target):
        try:
            text = target.read_bytes().decode()  # as it is: line ends too
        except (OSError, UnicodeDecodeError) as error:
            raise ExperimentsError(f"{path}: cannot be read: {error}") from error
        old = parse_text(text, source=str(path))
        root = yaml.compose(text, yaml.SafeLoader)
        assert isinstance(root, yaml.MappingNode)
        edited = edit(text, _value(root, "spec"), old)
        new = parse_text(edited, source=str(path))
        check_change(new, old)
        if new.document != changed(dict(old.document), change):
            raise ExperimentsError(f"{path}: is laid out so that it must be edited by hand")
        if dry_run:
            return new
        with whole_file(target) as aside:
            aside.write_bytes(edited.encode())
            aside.chmod(target.stat().st_mode)
    return new


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Wait until nobody else edits a manifest of this directory."""
    try:
        directory = os.open(target.parent, os.O_RDONLY)
    except OSError as error:
        raise ExperimentsError(f"{target}: cannot be read: {error}") from error
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _value(node: yaml.MappingNode, key: str) -> Any:
    return next(value for name, value in node.value if name.value == key)


def _items(spec: yaml.MappingNode) -> list[yaml.MappingNode]:
    return _value(spec, "variants").value


def _replaced(text: str, node: yaml.Node, value: str) -> str:
    return text[: node.start_mark.index] + value + text[node.end_mark.index :]
