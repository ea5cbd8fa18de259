"""Write docs/values.md from the chart's schema and its values: `python -m helm.values_table`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from helm.chart import CHART, PROFILES, profiles

PAGE = Path(__file__).resolve().parents[1] / "docs" / "values.md"
_HEAD = """\
# Values of the chart

Written by `make manifests` from `helm/intent-store/values.schema.json` and `values.yaml`. A value
that the schema does not know, or that is not of its type, is refused by name before anything is
applied.

"""


class Row(NamedTuple):
    """A value that can be set.

    Attributes:
        name: its path.
        type: of it, with the bounds that the schema sets.
        default: of the chart, as JSON; "" where it has none.
        tells: what it means.
    """

    name: str
    type: str
    default: str
    tells: str


def rows() -> list[Row]:
    """List every value in the schema's order, those of list entries as `name[].value`."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    return list(_rows(schema, values, ""))


def page() -> str:
    """Return the whole page."""
    lines = ["| Value | Type | Default | Meaning |", "|---|---|---|---|"]
    for row in rows():
        default = f"`{_cell(row.default)}`" if row.default else ""
        lines.append(f"| `{row.name}` | {_cell(row.type)} | {default} | {_cell(row.tells)} |")
    return _HEAD + "\n".join(lines) + "\n\n" + _profiles()


def main() -> None:
    """Write it."""
    PAGE.write_text(page())


def _rows(schema: dict, default: Any, path: str) -> Iterator[Row]:
    for name, child in schema["properties"].items():
        known = isinstance(default, dict) and name in default
        yield from _of(child, default[name] if known else _ABSENT, f"{path}{name}")


def _of(schema: dict, default: Any, path: str) -> Iterator[Row]:
    if "properties" in schema and path not in _WHOLE:
        yield from _rows(schema, default, f"{path}.")
        return
    shown = "" if default is _ABSENT else json.dumps(default)
    yield Row(path, _type(schema), shown, schema.get("description", ""))
    items = schema.get("items", {})
    if "properties" in items:
        yield from _rows(items, _ABSENT, f"{path}[].")


def _type(schema: dict) -> str:
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    kinds = schema.get("type", "any")
    text = kinds if isinstance(kinds, str) else " or ".join(kinds)
    if text == "array" and "type" in schema.get("items", {}):
        text = f"list of {schema['items']['type']}s"
    if text == "object" and isinstance(schema.get("additionalProperties"), dict):
        text = "map"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{text}, {low} to {high}"
    if low is not None:
        return f"{text}, {low} or more"
    return text


def _profiles() -> str:
    lines = ["## Profiles", ""]
    lines += ["Sets of values that belong together, given by `-f`; values given after it win.", ""]
    lines += ["| Profile | What it is |", "|---|---|"]
    for name in profiles():
        comments = []
        for line in (PROFILES / f"{name}.yaml").read_text().splitlines():
            if not line.startswith("#"):
                break
            comments.append(line.lstrip("# "))
        lines.append(f"| `profiles/{name}.yaml` | {_cell(' '.join(comments))} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


_ABSENT = object()
_WHOLE = {"experiments[].spec"}
"""What the definition of a kind describes, and this table need not."""


if __name__ == "__main__":
    main()
