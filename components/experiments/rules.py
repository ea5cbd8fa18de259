"""The rules of an experiment, read from the resource definition that the API server reads too."""

import copy
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

CRD = Path(__file__).with_name("experiment.crd.yaml")


class Problem(NamedTuple):
    """One thing that is wrong with a manifest."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class Rule(NamedTuple):
    """One CEL rule of the definition, with the field it stands at."""

    path: tuple[str, ...]
    program: Any
    field: str
    message: str
    compares: bool


def problems(
    document: Mapping[str, Any], previous: Mapping[str, Any] | None = None
) -> list[Problem]:
    """Find what is wrong with a manifest by itself.

    Args:
        document: the manifest as read; it is not changed.
        previous: the manifest that it replaces, for rules about the change. Given or not, the
            new manifest's own rules hold.

    Returns:
        Every problem with its field; empty when the manifest is valid. CEL rules are tried only
        on a manifest that has the right shape, as the API server does.
    """
    schema = _schema()
    found = [
        *_identity(document),
        *(
            Problem(_dotted(error.absolute_path), error.message[:200])
            for error in _validator().iter_errors(document)
        ),
        *_repeated(schema, document),
    ]
    if found:
        return found
    new, old = with_defaults(document), previous and with_defaults(previous)
    return [problem for rule in _rules() for problem in _broken(rule, new, old)]


def with_defaults(document: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a manifest with the definition's defaults filled in and its numbers as floats."""
    filled = copy.deepcopy(dict(document))
    _fill(_schema(), filled)
    return filled


@cache
def definition() -> dict[str, Any]:
    """Read the CustomResourceDefinition."""
    return yaml.safe_load(CRD.read_text())


def _schema() -> dict[str, Any]:
    return definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def _identity(document: Mapping[str, Any]) -> Iterator[Problem]:
    spec = definition()["spec"]
    wanted = {
        "apiVersion": f"{spec['group']}/{spec['versions'][0]['name']}",
        "kind": spec["names"]["kind"],
    }
    for field, value in wanted.items():
        if document.get(field) != value:
            yield Problem(field, f"must be {value}, not {document.get(field)!r}")
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or "name" not in metadata:
        yield Problem("metadata.name", "is missing")


@cache
def _validator() -> Any:
    import jsonschema

    return jsonschema.Draft202012Validator(_strict(_schema()))


def _strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the definition's schema into one that refuses fields it does not know."""
    strict = dict(schema)
    if "properties" in strict:
        strict["properties"] = {k: _strict(v) for k, v in strict["properties"].items()}
        strict["additionalProperties"] = False
        if "metadata" in strict["properties"]:  # labels and the like are Kubernetes' own
            strict["properties"]["metadata"]["additionalProperties"] = True
    if "items" in strict:
        strict["items"] = _strict(strict["items"])
    if strict.get("pattern", "").endswith("$"):
        # Python's $ also matches before a newline at the end, the API server's does not.
        strict["pattern"] = strict["pattern"][:-1] + r"\Z"
    return strict


def _repeated(schema: Mapping[str, Any], value: Any, path: tuple = ()) -> Iterator[Problem]:
    """Hold lists to being maps or sets where the definition says so."""
    if isinstance(value, dict):
        for key, part in (schema.get("properties") or {}).items():
            if key in value:
                yield from _repeated(part, value[key], (*path, key))
    if not isinstance(value, list) or "items" not in schema:
        return
    keys = schema.get("x-kubernetes-list-map-keys")
    unique = keys or schema.get("x-kubernetes-list-type") == "set"
    seen = []
    for place, item in enumerate(value):
        yield from _repeated(schema["items"], item, (*path, place))
        own = [item.get(key) for key in keys] if keys and isinstance(item, dict) else item
        if unique and own in seen:
            said = ", ".join(map(str, own)) if isinstance(own, list) else own
            yield Problem(_dotted((*path, place)), f"{said} is there twice")
        seen.append(own)


def _fill(schema: Mapping[str, Any], value: Any) -> Any:
    if isinstance(value, dict):
        for key, part in (schema.get("properties") or {}).items():
            if key not in value and "default" in part:
                value[key] = copy.deepcopy(part["default"])
            if key in value:
                value[key] = _fill(part, value[key])
    elif isinstance(value, list) and "items" in schema:
        value[:] = [_fill(schema["items"], item) for item in value]
    elif schema.get("type") == "number":
        return float(value)
    return value


@cache
def _rules() -> tuple[Rule, ...]:
    return tuple(_rules_of(_schema(), ()))


def _rules_of(schema: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Rule]:
    import cel

    for rule in schema.get("x-kubernetes-validations", ()):
        yield Rule(
            path=path,
            program=cel.compile(rule["rule"]),
            field=rule.get("fieldPath", ""),
            message=rule["message"],
            compares="oldSelf" in rule["rule"],
        )
    for key, part in (schema.get("properties") or {}).items():
        yield from _rules_of(part, (*path, key))
    if "items" in schema:
        yield from _rules_of(schema["items"], (*path, "*"))


def _broken(rule: Rule, new: Any, old: Any) -> Iterator[Problem]:
    import cel

    if rule.compares and old is None:
        return
    for place, value in _values(new, rule.path):
        names = {"self": value}
        if rule.compares:
            names["oldSelf"] = next(_values(old, rule.path))[1]
        context = cel.Context(names)
        context.add_function("sum", sum)  # of Kubernetes' own list functions, the one used here
        if rule.program.execute(context) is not True:
            yield Problem(_dotted(place) + rule.field, rule.message)


def _values(value: Any, path: tuple[str, ...], place: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    if not path:
        yield place, value
    elif path[0] == "*":
        for number, item in enumerate(value):
            yield from _values(item, path[1:], (*place, number))
    elif path[0] in value:
        yield from _values(value[path[0]], path[1:], (*place, path[0]))


def _dotted(path: Any) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "manifest"
