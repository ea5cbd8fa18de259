"""The v2 protocol: instances out of tensors, and answers into them."""

import struct
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from kserve import InferInput, InferOutput, InferRequest, InferResponse

from serving.errors import BadRequest
from serving.requests import Instance

_DATATYPES = {"text": ("BYTES",), "json": ("BYTES",), "integer": ("INT32", "INT64")}


def instances_of(request: InferRequest, instance: type[Instance]) -> list[dict[str, Any]]:
    """Turn tensors of shape [n], one per field, into n instances as the v1 protocol has them.

    An empty element of a BYTES tensor, and an integer below 0, stand for a field left out.

    Raises:
        BadRequest: an unknown tensor, a wrong datatype or shape, or a list that is no JSON text.
    """
    if not request.inputs:
        raise BadRequest("inputs: there are none")
    columns: dict[str, list[Any]] = {}
    for tensor in request.inputs:
        kind = instance.tensors.get(tensor.name)
        if kind is None or tensor.name in columns:
            known = ", ".join(instance.tensors)
            again = "given twice" if kind else f"unknown, there are {known}"
            raise BadRequest(f"inputs.{tensor.name}: {again}")
        if tensor.datatype not in _DATATYPES[kind]:
            wanted = " or ".join(_DATATYPES[kind])
            raise BadRequest(f"inputs.{tensor.name}: has to be {wanted}, not {tensor.datatype}")
        read = _integers if kind == "integer" else _texts
        columns[tensor.name] = read(tensor)
        if kind == "json":
            columns[tensor.name] = [_parsed(tensor.name, text) for text in columns[tensor.name]]
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise BadRequest(f"inputs: tensors differ in length: {lengths}")
    rows = zip(*columns.values(), strict=True)
    return [
        {name: value for name, value in zip(columns, row, strict=True) if value is not None}
        for row in rows
    ]


def response(
    request: InferRequest, model: str, version: str, outputs: list[InferOutput]
) -> InferResponse:
    """Put answers into a response, which has an id even where the request had none."""
    return InferResponse(
        response_id=request.id or uuid.uuid4().hex,
        model_name=model,
        model_version=version,
        infer_outputs=outputs,
        from_grpc=request.from_grpc,
        use_binary_outputs=request.use_binary_outputs,
        requested_outputs=request.request_outputs,
    )


def texts(name: str, values: list[str]) -> InferOutput:
    """Make a BYTES tensor of n texts."""
    return InferOutput(name, [len(values)], "BYTES", values)


def documents(name: str, values: list[Any]) -> InferOutput:
    """Make a BYTES tensor of n JSON texts."""
    return texts(name, [orjson.dumps(value, option=_NUMPY).decode() for value in values])


def numbers(name: str, values: Any, datatype: str = "FP32") -> InferOutput:
    """Make a tensor of an array's shape."""
    array = np.asarray(values)
    return InferOutput(name, list(array.shape), datatype, array.ravel().tolist())


def specification(kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    """Say what tensors there are, as model metadata has it."""
    datatypes = {"text": "BYTES", "json": "BYTES", "integer": "INT64"}
    return [
        {"name": name, "datatype": datatypes.get(kind, kind), "shape": [-1]}
        for name, kind in kinds.items()
    ]


_NUMPY = orjson.OPT_SERIALIZE_NUMPY


def _values(tensor: InferInput) -> list[Any]:
    shape = list(tensor.shape)
    if len(shape) != 1:
        raise BadRequest(f"inputs.{tensor.name}: has to have the shape [n], not {shape}")
    try:
        raw = tensor._raw_data is not None
        values = tensor.as_numpy().tolist() if raw else list(tensor.data)
    except (ValueError, TypeError, IndexError, OverflowError, struct.error) as error:
        raise BadRequest(f"inputs.{tensor.name}: unreadable: {error}") from None
    if len(values) != shape[0]:
        raise BadRequest(f"inputs.{tensor.name}: {len(values)} elements, not {shape}")
    return values


def _texts(tensor: InferInput) -> list[str | None]:
    found: list[str | None] = []
    for row, value in enumerate(_values(tensor)):
        try:
            text = value.decode() if isinstance(value, bytes) else value
        except UnicodeDecodeError:
            raise BadRequest(f"inputs.{tensor.name}[{row}]: is not UTF-8") from None
        if not isinstance(text, str):
            raise BadRequest(f"inputs.{tensor.name}[{row}]: is not a text")
        found.append(text or None)
    return found


def _integers(tensor: InferInput) -> list[int | None]:
    found: list[int | None] = []
    for row, value in enumerate(_values(tensor)):
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadRequest(f"inputs.{tensor.name}[{row}]: is not an integer")
        found.append(value if value >= 0 else None)
    return found


def _parsed(name: str, text: str | None) -> Any:
    try:
        return None if text is None else orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"inputs.{name}: no JSON text: {error}") from None
