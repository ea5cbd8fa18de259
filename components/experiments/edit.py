"""Change a manifest where it lies, and leave the rest of its text as a person wrote it."""

import copy
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from components.experiments.errors import ExperimentsError
from components.experiments.experiments import load_experiments
from components.experiments.manifest import Experiment, check_change, parse_text
from components.files import whole_file

Change = Callable[[dict[str, Any]], None]


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
        _treatment(old, variant)
        node = _value(_items(spec)[list(old.by_name).index(variant)], "percent")
        return _replaced(text, node, f"{percent:g}")

    def change(spec: dict[str, Any]) -> None:
        next(v for v in spec["variants"] if v["name"] == variant)["percent"] = percent

    return _edit(path, edit, change)


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

    def change(spec: dict[str, Any]) -> None:
        spec["stopped"] = stopped

    return _edit(path, edit, change)


def add_variant(path: Path, variant: str, inference_service: str) -> Experiment:
    """Add a treatment at 0 %, after those there are.

    Args:
        path: of the manifest.
        variant: name of the new treatment.
        inference_service: that answers for it.

    Raises:
        ExperimentsError: the name is taken, or one more treatment would move units of those there
            are; the file is as it was.
    """
    fields = {"name": variant, "inferenceService": inference_service, "percent": 0}
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

    def change(spec: dict[str, Any]) -> None:
        spec["variants"].append(fields)

    return _edit(path, edit, change)


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
    path: Path, edit: Callable[[str, yaml.MappingNode, Experiment], str], change: Change
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
        changed = edit(text, _value(root, "spec"), old)
        new = parse_text(changed, source=str(path))
        check_change(new, old)
        wanted = copy.deepcopy(dict(old.document))
        change(wanted["spec"])
        if new.document != wanted:
            raise ExperimentsError(f"{path}: is laid out so that it must be edited by hand")
        with whole_file(target) as aside:
            aside.write_bytes(changed.encode())
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


def _treatment(experiment: Experiment, variant: str) -> None:
    if variant == experiment.control:
        raise ExperimentsError(
            f"{experiment.source}: {variant} is the control, it answers the rest: ramp another"
        )
    if variant not in experiment.by_name:
        there = ", ".join(v.name for v in experiment.treatments) or "none"
        raise ExperimentsError(f"{experiment.source}: no variant {variant}, there is {there}")


def _value(node: yaml.MappingNode, key: str) -> Any:
    return next(value for name, value in node.value if name.value == key)


def _items(spec: yaml.MappingNode) -> list[yaml.MappingNode]:
    return _value(spec, "variants").value


def _replaced(text: str, node: yaml.Node, value: str) -> str:
    return text[: node.start_mark.index] + value + text[node.end_mark.index :]
