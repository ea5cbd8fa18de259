"""Every rule of a manifest, read from the definition the API server reads, names what to mend."""

import copy
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.experiments.errors import ExperimentsError
from components.experiments.manifest import check_change, parse, parse_text, read_manifest
from components.experiments.rules import definition, problems
from tests.components.experiments.manifests import document, experiment

TEXT = """
apiVersion: intent-store.dev/v1alpha1
kind: Experiment
metadata: {name: colours}
spec:
  service: ranker
  salt: colours-1
  control: old
  variants:
    - {name: old, inferenceService: ranker-old}
    - {name: new, inferenceService: ranker-new, percent: 12.34}
"""


def override(*units: str, variant: str = "blue") -> dict[str, Any]:
    return {"units": list(units), "variant": variant}


def rail(**fields: Any) -> list[dict[str, Any]]:
    return [{"metric": "ctr", **fields}]


WRONG = {
    "101 %": (document({"blue": 101}), "spec.variants[1].percent: 101"),
    "below 0": (document({"blue": -1}), "spec.variants[1].percent: -1"),
    "three decimals": (document({"blue": 0.005}), "spec.variants[1].percent: must have at most"),
    "a text": (document({"blue": "10%"}), "spec.variants[1].percent: '10%' is not of type"),
    "more than 100 together": (document({"a": 60, "b": 40.01}), "spec.variants: the percentages"),
    "above its lane": (document({"a": 33.34, "b": 0, "c": 0}), "spec.variants: a percent is above"),
    "above its limit": (
        document({"a": 5.01, "b": 1}, limits={"a": 5}),
        "spec.variants: a percent is above its lane",
    ),
    "limits above 100": (
        document({"a": 1, "b": 1}, limits={"a": 60, "b": 41}),
        "spec.variants: the limits of the lanes",
    ),
    "limits that leave no lane": (
        document({"a": 1, "b": 1}, limits={"a": 60}),
        "spec.variants: the limits of the lanes",
    ),
    "no such control": (document(control="red"), "spec.control: must be the name of one of"),
    "no control": (
        {**document(), "spec": {k: v for k, v in document()["spec"].items() if k != "control"}},
        "spec: 'control' is a required property",
    ),
    "control with percent": (document(control="blue"), "spec.variants: control is given no"),
    "treatment without percent": (
        document(variants=[{"name": n, "inferenceService": n} for n in ("control", "x")]),
        "spec.variants: every variant but the control needs a percent",
    ),
    "two of a name": (
        document(variants=[{"name": "control", "inferenceService": n} for n in "xy"]),
        "spec.variants[1]: control is there twice",
    ),
    "no variants": (document(variants=[]), "spec.variants: [] "),
    "unknown field": (document(percentage=3), "spec: Additional properties are not allowed"),
    "unknown service": (document(service="search"), "spec.service: 'search' is not one of"),
    "salt with a dollar": (document(salt="$x"), "spec.salt: '$x' does not match"),
    "salt with a line": (document(salt="x;\n}"), "spec.salt"),
    "salt that ends in a line": (document(salt="x\n"), "spec.salt"),
    "the router's header": (
        document(unit={"header": "x-intent-model"}),
        "spec.unit.header: headers that begin with x-intent-",
    ),
    "layer beyond 100": (
        document(layer={"name": "x", "start": 60, "size": 40.01}),
        "spec.layer.size: start and size reach beyond 100",
    ),
    "override of nothing": (
        document(overrides=[override("m1", variant="red")]),
        "spec.overrides: an override names a variant that does not exist",
    ),
    "unit named twice": (
        document(overrides=[override("m1", "m2"), override("m2", variant="control")]),
        "spec.overrides: a unit is named by two",
    ),
    "unit twice in one": (
        document(overrides=[override("m1", "m1")]),
        "spec.overrides[0].units[1]: m1 is there twice",
    ),
    "guardrail without bound": (
        document(guardrails=rail()),
        "spec.guardrails[0]: give either atMost or noWorseThan",
    ),
    "guardrail with two": (
        document(guardrails=rail(atMost=1, noWorseThan=1)),
        "spec.guardrails[0]: give either",
    ),
    "a guardrail beyond all numbers": (
        document(guardrails=rail(atMost=10**400)),
        "spec.guardrails[0].atMost: 1000",
    ),
    "more exposures than there are": (
        document(guardrails=rail(atMost=1, minimumExposures=2**70)),
        "spec.guardrails[0].minimumExposures: 1180",
    ),
    "unknown action": (
        document(guardrails=rail(atMost=1, action="pray")),
        "spec.guardrails[0].action: 'pray' is not one of",
    ),
    "timeout of 0": (document(timeout=0), "spec.timeout: 0 is less than the minimum"),
    "name": (document(name="My test", salt="x"), "metadata.name: 'My test' does not match"),
    "kind": ({**document(), "kind": "Pod"}, "kind: must be Experiment, not 'Pod'"),
    "version": ({**document(), "apiVersion": "v1"}, "apiVersion: must be intent-store.dev/"),
    "no metadata": ({**document(), "metadata": None}, "metadata.name: is missing"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_refused_with_the_file_and_the_field(wrong) -> None:
    manifest, said = wrong
    with pytest.raises(ExperimentsError) as caught:
        parse(manifest, source="colours.yaml")
    assert str(caught.value).startswith("colours.yaml: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must hold one experiment"),
        ("[1, 2]", "must hold one experiment"),
        (TEXT + "---" + TEXT, "must hold one experiment"),
        (TEXT.replace("12.34", ".nan"), ".nan is not a number to use"),
        (TEXT.replace("12.34", "1, percent: 2"), "percent is there twice"),
        (TEXT + "status: &a {x: [*a, *a]}", "aliases are not allowed"),
        (TEXT.replace("}", "", 1), "cannot be read as YAML"),
        ("{? [a]: 1}", "a key must be a text"),
        ("[" * 100_000, "cannot be read as YAML"),
        ("# " + "x" * 300_000, "longer than 256 KiB"),
    ],
)
def test_a_text_that_is_no_manifest_is_refused(text: str, said: str) -> None:
    with pytest.raises(ExperimentsError, match="colours.yaml: ") as caught:
        parse_text(text, source="colours.yaml")
    assert said in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_stands_in_a_manifest_it_is_valid_or_refused(data: st.DataObject) -> None:
    made = document({"a": 1, "b": 2}, overrides=[override("m1", variant="a")], guardrails=rail())
    node: Any = made
    while data.draw(st.booleans()):
        inner = list(node) if isinstance(node, dict) else range(len(node))
        inner = [key for key in inner if isinstance(node[key], dict | list) and node[key]]
        if not inner:
            break
        node = node[data.draw(st.sampled_from(inner))]
    key = data.draw(st.sampled_from(list(node) if isinstance(node, dict) else range(len(node))))
    node[key] = data.draw(JSON)
    with suppress(ExperimentsError):
        parse(made, source="x")


def test_the_definition_is_one_that_an_api_server_takes() -> None:
    def walk(schema: dict[str, Any], path: str) -> None:
        # What apiextensions.k8s.io/v1 asks of a structural schema.
        assert schema["type"] in ("object", "array", "string", "number", "integer", "boolean"), path
        assert not {"$ref", "anyOf", "oneOf", "not", "additionalProperties"} & set(schema), path
        assert (
            schema["type"] != "array"
            or ("items" in schema and "maxItems" in schema)
            or (path.startswith(".status"))
        ), "without a bound the cost of a rule cannot be"
        for rule in schema.get("x-kubernetes-validations", ()):
            assert set(rule) <= {"rule", "message", "fieldPath"}
            first = rule.get("fieldPath", "").strip(".").split(".")[0]
            assert first == "" or first in schema["properties"], rule
        if "x-kubernetes-list-map-keys" in schema:
            assert set(schema["x-kubernetes-list-map-keys"]) <= set(schema["items"]["required"])
        for name, part in schema.get("properties", {}).items():
            walk(part, f"{path}.{name}")
        if "items" in schema:
            walk(schema["items"], f"{path}[]")

    found = definition()
    spec = found["spec"]
    assert found["metadata"]["name"] == f"{spec['names']['plural']}.{spec['group']}"
    walk(spec["versions"][0]["schema"]["openAPIV3Schema"], "")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ExperimentsError, match="x.yaml: cannot be read"):
        read_manifest(tmp_path / "x.yaml")


def test_what_a_manifest_leaves_out_comes_from_the_definition() -> None:
    made = parse_text(TEXT + "  guardrails: [{metric: ctr, noWorseThan: 10}]", source="x")
    assert (made.header, made.timeout, made.stopped) == ("x-member-id", 2, False)
    assert (made.guardrails[0].minimum_exposures, made.guardrails[0].action) == (200, "stop")
    assert made.by_name["new"].percent == 12.34
    assert made.by_name["old"].percent is None


def test_every_percentage_of_two_decimals_is_taken_and_no_other() -> None:
    made = document({"blue": 0})
    variant = made["spec"]["variants"][1]
    for hundredths in range(0, 10_001, 89):
        variant["percent"] = float(f"{hundredths / 100:.2f}")
        assert not problems(made), variant
        variant["percent"] += 0.003
        assert problems(made), variant


def test_the_revision_follows_the_specification_and_nothing_else() -> None:
    plain = document({"blue": 10})
    noted = copy.deepcopy(plain)
    noted["metadata"]["annotations"] = {"who": "me"}
    noted["status"] = {"tripped": []}
    noted["spec"]["timeout"] = 2  # the default, said
    ramped = document({"blue": 10.01})
    first, same, other = (parse(d, source="x").revision for d in (plain, noted, ramped))
    assert first == same != other


def test_limits_allow_a_percentage_above_an_equal_share() -> None:
    experiment({"a": 80, "b": 5, "c": 5}, limits={"a": 80, "b": 10, "c": 10})


CHANGES = {
    "ramp": ({"a": 1, "b": 2}, {}, {"a": 50, "b": 0}, {}, None),
    "second treatment": ({"a": 20}, {}, {"a": 20, "b": 5}, {}, None),
    "third treatment": ({"a": 20, "b": 5}, {}, {"a": 20, "b": 5, "c": 0}, {}, "one more treatment"),
    "third with limits from the start": (
        {"a": 20, "b": 5},
        {"limits": {"a": 30, "b": 30}},
        {"a": 20, "b": 5, "c": 1},
        {"limits": {"a": 30, "b": 30, "c": 40}},
        None,
    ),
    "third while all are at 0": ({"a": 0, "b": 0}, {}, {"a": 0, "b": 0, "c": 0}, {}, None),
    "third under a new salt": (
        {"a": 20, "b": 5},
        {},
        {"a": 20, "b": 5, "c": 0},
        {"salt": "colours-2"},
        None,
    ),
    "another order": ({"a": 20, "b": 5}, {}, {"b": 5, "a": 20}, {}, "keep their order"),
    "new one first": ({"a": 20}, {}, {"b": 5, "a": 20}, {}, "keep their order"),
    "one taken away": ({"a": 20, "b": 5}, {}, {"b": 5}, {}, "keep their order"),
    "wider lane": (
        {"a": 5, "b": 5},
        {"limits": {"a": 10, "b": 10}},
        {"a": 5, "b": 5},
        {"limits": {"a": 20, "b": 10}},
        "keep their order and limits",
    ),
    "another header": (
        {"a": 5},
        {},
        {"a": 5},
        {"unit": {"header": "x-device"}},
        "another header moves every unit",
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_that_would_move_units_under_the_same_salt_is_refused(change) -> None:
    before, before_spec, after, after_spec, said = change
    old, new = experiment(before, **before_spec), experiment(after, **after_spec)
    if said is None:
        check_change(new, old)
        return
    with pytest.raises(ExperimentsError, match=said):
        check_change(new, old)
