"""The OpenAPI page of what a server holds, made of the models that check its requests."""

from typing import Any

from pydantic.json_schema import models_json_schema

from components.activity.config import Vertical
from serving.registry import CHOSEN, Registry

_VERSION = "1.0.0"
_NUMBER, _TEXT, _BOOL = {"type": "number"}, {"type": "string"}, {"type": "boolean"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


PREDICTIONS: dict[str, dict[str, Any]] = {
    "encoder": _object(vector=_list(_NUMBER), encoder=_TEXT),
    "suggestions": _object(
        suggestions=_list(_object(text=_TEXT, kind=_TEXT, score=_NUMBER)),
        source={"enum": ["store", "encoder", "none"]},
    ),
    "ranker": _object(scores=_list(_NUMBER), ranked=_list(_TEXT), vector=_BOOL),
    "audience": _object(
        members=_list(
            _object(member_id=_TEXT, score=_NUMBER, similarity=_NUMBER, exact=_BOOL, why=_TEXT)
        ),
        note=_TEXT,
    ),
    "candidates": _object(
        candidates=_list(_object(item_id=_TEXT, score=_NUMBER, why=_list(_TEXT))),
        clauses=_list(_object(text=_TEXT, weight=_NUMBER, source=_TEXT, words=_TEXT)),
        source={"enum": ["store", "package", "encoder", "none"]},
        note=_TEXT,
    ),
}
"""What each service answers to one instance."""

_TENSOR = _object(
    name=_TEXT, shape=_list({"type": "integer"}), datatype=_TEXT, data={"type": "array"}
)
_NOT_HERE = {404: "There is no such model.", 503: "The model does not answer now; it says why."}
_REFUSED = {
    400: "The request names what is wrong with it.",
    413: "The body is too long.",
    **_NOT_HERE,
}


def describe(registry: Registry) -> dict[str, Any]:
    """Return the OpenAPI document of a registry's services."""
    models = {name: model for name, model in registry.get_models().items() if "-" in name}
    services: dict[str, list[str]] = {}
    for name, model in models.items():
        services.setdefault(model.service, []).append(name)
    bodies = {
        service: models[names[0]].body(registry.place.limits) for service, names in services.items()
    }
    _, defined = models_json_schema(
        [(body, "validation") for body in bodies.values()],
        ref_template="#/components/schemas/{model}",
    )
    schemas = defined.get("$defs", {})
    vertical = next((m.vertical for m in models.values() if m.vertical is not None), None)
    if vertical is not None and "Action" in schemas:
        _name_actions(schemas["Action"], vertical)
    schemas |= {"Error": _object(error=_TEXT), "Tensor": _TENSOR}
    paths: dict[str, Any] = {}
    for service, body in bodies.items():
        paths[f"/v1/models/{service}:predict"] = {
            "post": _operation(
                f"Ask {service}.",
                _object(predictions=_list(PREDICTIONS[service])),
                _REFUSED,
                body={"$ref": f"#/components/schemas/{body.__name__}"},
                parameters=[_chosen(services[service])],
            )
        }
        paths[f"/v2/models/{service}/infer"] = {
            "post": _operation(
                f"Ask {service} by tensors: one element, or one JSON text, per instance.",
                _object(
                    model_name=_TEXT,
                    id=_TEXT,
                    outputs=_list({"$ref": "#/components/schemas/Tensor"}),
                ),
                _REFUSED,
                body=_object(inputs=_list({"$ref": "#/components/schemas/Tensor"})),
                parameters=[_chosen(services[service])],
            )
        }
    names = sorted([*models, *services])
    return {
        "openapi": "3.1.0",
        "info": {"title": "Intent Store", "version": _VERSION},
        "paths": paths | _fixed_paths(names),
        "components": {"schemas": schemas},
    }


def _fixed_paths(names: list[str]) -> dict[str, Any]:
    named = [
        {
            "name": "model_name",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "examples": names, "pattern": "^[a-z0-9-]+$"},
        }
    ]
    here = _object(name=_TEXT, ready=_BOOL)
    about = _object(name=_TEXT, platform=_TEXT, inputs=_list({}), outputs=_list({}))
    listed = _object(models=_list(_TEXT))
    gone = {404: _NOT_HERE[404]}
    get = {
        "/": _operation("Whether the server lives.", _object(status=_TEXT)),
        "/v1/models": _operation("Names of all models.", listed),
        "/v1/models/{model_name}": _operation("Ready?", here, _NOT_HERE, parameters=named),
        "/v2": _operation("What server this is.", _object(name=_TEXT, version=_TEXT)),
        "/v2/health/live": _operation("Whether the server lives.", _object(live=_BOOL)),
        "/v2/health/ready": _operation("Ready?", _object(ready=_BOOL), {503: _NOT_HERE[503]}),
        "/v2/models": _operation("Names of all models.", listed),
        "/v2/models/{model_name}": _operation("Its tensors.", about, gone, parameters=named),
        "/v2/models/{model_name}/ready": _operation("Ready?", here, _NOT_HERE, parameters=named),
    }
    changed = {
        409: "The package in the directory cannot be served; the one before goes on.",
        **gone,
    }
    loads = _operation(
        "Serve what the model's directory holds now.",
        _object(name=_TEXT, load=_BOOL),
        changed,
        parameters=named,
    )
    unloads = _operation(
        "Serve a model no longer.", _object(name=_TEXT, unload=_BOOL), gone, parameters=named
    )
    return {path: {"get": operation} for path, operation in get.items()} | {
        "/v2/repository/models/{model_name}/load": {"post": loads},
        "/v2/repository/models/{model_name}/unload": {"post": unloads},
    }


def _operation(
    summary: str,
    answer: dict[str, Any],
    refusals: dict[int, str] | None = None,
    *,
    body: dict[str, Any] | None = None,
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    def json_of(schema: dict[str, Any]) -> dict[str, Any]:
        return {"application/json": {"schema": schema}}

    error = json_of({"$ref": "#/components/schemas/Error"})
    responses = {"200": {"description": "Answered.", "content": json_of(answer)}} | {
        str(status): {"description": said, "content": error}
        for status, said in (refusals or {}).items()
    }
    operation: dict[str, Any] = {"summary": summary, "responses": responses}
    if body is not None:
        operation["requestBody"] = {"required": True, "content": json_of(body)}
    if parameters:
        operation["parameters"] = parameters
    return operation


def _chosen(models: list[str]) -> dict[str, Any]:
    return {
        "name": CHOSEN,
        "in": "header",
        "required": False,
        "description": "Which variant answers, as a router says.",
        "schema": {"type": "string", "examples": models},
    }


def _name_actions(schema: dict[str, Any], vertical: Vertical) -> None:
    """Say which actions there are, and which text each has to have."""
    schema["properties"]["action"] = {"type": "string", "enum": list(vertical.actions)}
    needed = {"query": "query", "posting": "title"}
    schema["oneOf"] = [
        {
            "properties": {
                "action": {"enum": [a for a, own in vertical.actions.items() if own == kind]},
                text: {"type": "string", "pattern": r"[^ \t\r\n]"},
            },
            "required": ["action", text],
        }
        for kind, text in needed.items()
        if kind in vertical.actions.values()
    ]
    channel = schema["properties"]["channel"]["anyOf"]
    channel[0] = {"type": "string", "enum": list(vertical.channels)}
