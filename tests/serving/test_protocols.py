"""The same answers in REST v1, REST v2, binary tensors and gRPC; bad requests refused by name."""

import json

import grpc
import httpx
import numpy as np
import orjson
import pytest
from kserve import InferInput, InferRequest, InferResponse
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

TRAIL = [{"action": "JOB_SEARCH", "query": "ward nurse"}]


def tensors(**fields):
    """Make the v2 tensors of a few fields; lists and dicts travel as JSON text."""
    made = []
    for name, values in fields.items():
        if isinstance(values[0], int):
            made.append(InferInput(name, [len(values)], "INT64", list(values)))
            continue
        texts = [v if isinstance(v, str) else orjson.dumps(v).decode() for v in values]
        made.append(InferInput(name, [len(texts)], "BYTES", texts))
    return made


def ask_v2(server, service, headers=None, **fields):
    body, _ = InferRequest(service, tensors(**fields)).to_rest()
    response = server.http.post(f"/v2/models/{service}/infer", json=body, headers=headers)
    assert response.status_code == 200, response.text
    return InferResponse.from_rest(response.json())


def ask_grpc(server, service, metadata=(), **fields):
    with grpc.insecure_channel(server.grpc) as channel:
        request = InferRequest(service, tensors(**fields)).to_grpc()
        answer = GRPCInferenceServiceStub(channel).ModelInfer(request, metadata=metadata)
    return InferResponse.from_grpc(answer)


def output(response, name):
    tensor = response.get_output_by_name(name)
    return tensor.as_numpy() if tensor.datatype != "BYTES" else _texts(tensor)


def _texts(tensor):
    return [v.decode() if isinstance(v, bytes) else v for v in tensor.as_numpy().tolist()]


@pytest.fixture(params=[ask_v2, ask_grpc], ids=["rest", "grpc"])
def ask(request, server):
    return lambda service, **fields: request.param(server, service, **fields)


def test_v2_gives_the_vectors_of_v1(server, ask):
    first, second = server.answer("encoder", {"actions": TRAIL}, {"text": "driver"})
    response = ask("encoder", actions=[TRAIL, ""], text=["", "driver"])
    assert output(response, "vector") == pytest.approx(
        np.array([first["vector"], second["vector"]]), abs=1e-6
    )
    assert output(response, "encoder") == [first["encoder"]] * 2
    assert (response.model_name, response.model_version != "") == ("encoder-finetuned", True)


def test_v2_gives_the_suggestions_of_v1(made, server, ask):
    name = made.members().member_ids[5].as_py()
    stored, fresh = server.answer(
        "suggestions",
        {"member_id": name, "surface": "explore", "k": 2},
        {"actions": TRAIL, "surface": "any", "k": 4},
    )
    response = ask(
        "suggestions",
        member_id=[name, ""],
        actions=["", TRAIL],
        surface=["explore", "any"],
        k=[2, 4],
    )
    found = [json.loads(text) for text in output(response, "suggestions")]
    assert [s["text"] for s in found[0]] == [s["text"] for s in stored["suggestions"]]
    assert [s["text"] for s in found[1]] == [s["text"] for s in fresh["suggestions"]]
    assert output(response, "source") == ["store", "encoder"]


def test_v2_gives_the_scores_of_v1_end_to_end(made, server, ask):
    name = made.members().member_ids[5].as_py()
    said = server.answer(
        "ranker",
        {"member_id": name, "query": "nurse", "items": ["a", "b"]},
        {"items": ["c"], "query": "nurse"},
    )
    response = ask(
        "ranker", member_id=[name, ""], query=["nurse", "nurse"], items=[["a", "b"], ["c"]]
    )
    scores = said[0]["scores"] + said[1]["scores"]
    assert output(response, "scores") == pytest.approx(np.array(scores), abs=1e-4)
    assert output(response, "lengths").tolist() == [2, 1]
    assert [json.loads(text) for text in output(response, "ranked")] == [
        said[0]["ranked"],
        said[1]["ranked"],
    ]
    assert output(response, "vector").tolist() == [True, False]


def test_v2_gives_the_audience_of_v1(made, server, ask):
    seeds = made.members().member_ids[:2].to_pylist()
    (said,) = server.answer("audience", {"members": seeds, "k": 3})
    response = ask("audience", members=[seeds], k=[3])
    (found,) = output(response, "members")
    assert [m["member_id"] for m in json.loads(found)] == [m["member_id"] for m in said["members"]]


def test_v2_gives_the_candidates_of_v1(made, server, ask):
    name = made.members().member_ids[5].as_py()
    said = server.answer("candidates", {"member_id": name, "k": 4}, {"actions": TRAIL, "k": 2})
    response = ask("candidates", member_id=[name, ""], actions=["", TRAIL], k=[4, 2])
    for field in ("candidates", "clauses"):
        found = [json.loads(text) for text in output(response, field)]
        assert found == [one[field] for one in said]
    assert output(response, "source") == ["store", "encoder"]
    assert output(response, "note") == [one["note"] for one in said]


def test_binary_tensors_are_read_and_written(server):
    (said,) = server.answer("encoder", {"text": "driver"})
    tensor = InferInput("text", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([b"driver"], object), binary_data=True)
    request = InferRequest("encoder", [tensor], parameters={"binary_data_output": True})
    body, length = request.to_rest()
    response = server.http.post(
        "/v2/models/encoder/infer",
        content=body,
        headers={
            "content-type": "application/octet-stream",
            "inference-header-content-length": str(length),
        },
    )
    assert response.status_code == 200, response.text
    own = int(response.headers["inference-header-content-length"])
    answer = InferResponse.from_bytes(response.content, own)
    assert output(answer, "vector")[0] == pytest.approx(said["vector"], abs=1e-6)


def test_grpc_metadata_chooses_the_variant_as_the_header_does(made, server):
    name = made.members().member_ids[5].as_py()
    for variant in ("suggestions-finetuned", "suggestions-fasttext"):
        chosen = {"x-intent-model": variant}
        over_grpc = ask_grpc(server, "suggestions", tuple(chosen.items()), member_id=[name])
        over_rest = ask_v2(server, "suggestions", chosen, member_id=[name])
        assert over_grpc.model_name == over_rest.model_name == variant
        assert output(over_grpc, "suggestions") == output(over_rest, "suggestions")


def test_a_model_says_what_tensors_it_takes(server):
    about = server.http.get("/v2/models/suggestions").json()
    names = {tensor["name"]: tensor["datatype"] for tensor in about["inputs"]}
    assert names == {"member_id": "BYTES", "actions": "BYTES", "surface": "BYTES", "k": "INT64"}
    with grpc.insecure_channel(server.grpc) as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert stub.ModelMetadata(pb.ModelMetadataRequest(name="encoder")).name == "encoder"
        assert stub.ServerReady(pb.ServerReadyRequest()).ready
        assert stub.ModelReady(pb.ModelReadyRequest(name="ranker")).ready


BAD = {
    "no JSON": ("encoder", b"{", "body"),
    "no object": ("encoder", b"[1]", "body: send a JSON object"),
    "no instances": ("encoder", b"{}", "instances: field required"),
    "none of them": ("encoder", b'{"instances": []}', "instances: list should have at least 1"),
    "not a number": ("suggestions", b'{"instances": [{"member_id": "m", "k": NaN}]}', "body"),
    "deep nesting": ("encoder", b'{"instances": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "body"),
    "unknown field": (
        "encoder",
        {"text": "a", "vector": [1]},
        "instances[0].vector: extra inputs are not permitted",
    ),
    "neither": ("encoder", {}, "instances[0]: give exactly one of actions, text"),
    "both": (
        "suggestions",
        {"member_id": "m", "actions": TRAIL},
        "instances[0]: give exactly one of member_id, actions",
    ),
    "surface": (
        "suggestions",
        {"member_id": "m", "surface": "home"},
        "instances[0].surface: input should be 'explore' or 'any'",
    ),
    "k as text": (
        "suggestions",
        {"member_id": "m", "k": "5"},
        "instances[0].k: input should be a valid integer",
    ),
    "k too large": ("suggestions", {"member_id": "m", "k": 101}, "instances[0].k: input should be"),
    "long text": (
        "encoder",
        {"text": "x" * 2001},
        "instances[0].text: string should have at most 2000 characters",
    ),
    "too many actions": (
        "encoder",
        {"actions": TRAIL * 501},
        "instances[0].actions: list should have at most 500 items",
    ),
    "recent of a text": (
        "encoder",
        {"text": "nurse", "recent": 2},
        "instances[0]: recent: give it with actions only",
    ),
    "unknown action": (
        "encoder",
        {"actions": [*TRAIL, {"action": "DANCE", "query": "x"}]},
        "instances[0].actions[1].action: 'DANCE' is none of ",
    ),
    "action without its text": (
        "suggestions",
        {"actions": [{"action": "JOB_SEARCH", "title": "nurse"}]},
        "instances[0].actions[0].query: missing, JOB_SEARCH has to have one",
    ),
    "unknown channel": (
        "encoder",
        {"actions": [{"action": "VIEW", "title": "nurse", "channel": "fax"}]},
        "instances[0].actions[0].channel: 'fax' is none of search",
    ),
    "some times only": (
        "encoder",
        {"actions": [{**TRAIL[0], "ts": 1_600_000_000_000_000}, *TRAIL]},
        "instances[0].actions[1].ts: missing, though others have one",
    ),
    "seconds for microseconds": (
        "ranker",
        {"items": ["a"], "ts": 1_600_000_000},
        "instances[0].ts: input should be greater than or equal to 788918400000000",
    ),
    "no postings": ("ranker", {"items": []}, "instances[0].items: list should have at least 1"),
    "a wrong shape": ("ranker", {"items": [["a"]]}, "instances[0].items[0]: input should be a"),
    "candidates of nobody": (
        "candidates",
        {"k": 3},
        "instances[0]: give exactly one of member_id, actions",
    ),
    "no candidates": (
        "candidates",
        {"member_id": "m", "k": 0},
        "instances[0].k: input should be greater than or equal to 1",
    ),
    "too many candidates": (
        "candidates",
        {"member_id": "m", "k": 1001},
        "instances[0].k: input should be less than or equal to 1000",
    ),
    "a visit without its text": (
        "candidates",
        {"actions": [{"action": "VIEW", "query": "nurse"}]},
        "instances[0].actions[0].title: missing, VIEW has to have one",
    ),
    "company alone": (
        "audience",
        {"job": "j", "company": "acme"},
        "instances[0]: company: give it with a title only",
    ),
}


@pytest.mark.parametrize(("service", "content", "message"), BAD.values(), ids=BAD)
def test_a_bad_request_is_refused_by_name(server, service, content, message):
    body = content if isinstance(content, bytes) else orjson.dumps({"instances": [content]})
    response = server.http.post(
        f"/v1/models/{service}:predict", content=body, headers={"content-type": "application/json"}
    )
    assert response.status_code == 400, response.text
    assert response.json()["error"].startswith(message)


def test_a_request_of_another_content_type_is_refused(server):
    response = server.http.post("/v1/models/encoder:predict", content=b"text=nurse")
    assert response.status_code == 400
    assert response.json()["error"].startswith("body: ")


def test_what_is_not_utf8_is_refused(server):
    body = b'{"instances": [{"text": "\xff\xfe"}]}'
    response = server.http.post(
        "/v1/models/encoder:predict", content=body, headers={"content-type": "application/json"}
    )
    assert response.status_code == 400


def test_too_many_instances_are_refused(server):
    response = server.ask("encoder", *[{"text": "a"}] * 65)
    assert response.status_code == 400
    assert response.json()["error"].startswith("instances: list should have at most 64 items")


@pytest.mark.parametrize("told", [True, False], ids=["by its length", "by what comes"])
def test_a_body_too_long_is_refused_unread(server, told):
    body = b'{"instances": [{"text": "' + b"a" * (1 << 20) + b'"}]}'
    content = (
        body if told else (body[start : start + 65536] for start in range(0, len(body), 65536))
    )
    headers = {"content-type": "application/json"}
    with httpx.Client(base_url=server.url) as client:
        try:
            response = client.post("/v1/models/encoder:predict", content=content, headers=headers)
        except httpx.WriteError:
            return  # the connection was closed on a body still being sent
    assert response.status_code == 413
    assert response.json() == {"error": "body: longer than 1048576 bytes"}


def test_a_model_that_there_is_not_is_404(server):
    for response in (
        server.ask("nothing", {}),
        server.ask("encoder", {"text": "a"}, headers={"x-intent-model": "ranker-full-vector"}),
        server.http.get("/v2/models/nothing"),
        server.http.get("/v1/models/nothing"),
        server.http.post("/v2/repository/models/nothing/load"),
        server.http.post("/v2/repository/models/nothing/unload"),
    ):
        assert response.status_code == 404
        assert "there is no model" in response.json()["error"]


BAD_TENSORS = {
    "unknown tensor": ([("words", "BYTES", [1], ["a"])], "inputs.words: unknown, there are"),
    "given twice": ([("text", "BYTES", [1], ["a"])] * 2, "inputs.text: given twice"),
    "datatype": ([("text", "FP32", [1], [0.5])], "inputs.text: has to be BYTES, not FP32"),
    "shape": ([("text", "BYTES", [1, 1], ["a"])], "inputs.text: has to have the shape [n]"),
    "length": ([("text", "BYTES", [2], ["a"])], "inputs.text: 1 elements, not [2]"),
    "no text": ([("text", "BYTES", [1], [7])], "inputs.text[0]: is not a text"),
    "lengths differ": (
        [("text", "BYTES", [1], ["a"]), ("actions", "BYTES", [2], ["", "[]"])],
        "inputs: tensors differ in length",
    ),
    "no JSON": ([("actions", "BYTES", [1], ["[1"])], "inputs.actions: no JSON text"),
    "none": ([], "inputs: there are none"),
    "wrong inside": (
        [("actions", "BYTES", [1], ['[{"action": 1}]'])],
        "instances[0].actions[0].action: input should be a valid string",
    ),
}


@pytest.mark.parametrize(("inputs", "message"), BAD_TENSORS.values(), ids=BAD_TENSORS)
def test_bad_tensors_are_refused_by_name(server, inputs, message):
    named = ("name", "datatype", "shape", "data")
    body = {"inputs": [dict(zip(named, tensor, strict=True)) for tensor in inputs]}
    response = server.http.post("/v2/models/encoder/infer", json=body)
    assert response.status_code == 400, response.text
    assert response.json()["error"].startswith(message)


def test_a_v2_body_that_is_none_is_refused(server):
    for body in (b"{}", b'{"inputs": 5}', b"", b"[" * 50_000, b'{"inputs": [{"name": "text"}]}'):
        for kind in ("application/json", "application/octet-stream"):
            response = server.http.post(
                "/v2/models/encoder/infer",
                content=body,
                headers={"content-type": kind, "inference-header-content-length": str(len(body))},
            )
            assert response.status_code == 400, (body[:20], kind, response.text)
            assert response.json()["error"]


@pytest.mark.parametrize(
    ("service", "fields", "metadata", "code"),
    [
        ("encoder", {"text": ["x" * 3000]}, (), grpc.StatusCode.INVALID_ARGUMENT),
        ("encoder", {"text": ["x" * (2 << 20)]}, (), grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("nothing", {"text": ["a"]}, (), grpc.StatusCode.NOT_FOUND),
        ("encoder", {"text": ["a"]}, (("x-intent-model", "no"),), grpc.StatusCode.NOT_FOUND),
    ],
    ids=["long text", "long message", "unknown model", "unknown variant"],
)
def test_grpc_refuses_with_its_own_codes(server, service, fields, metadata, code):
    with pytest.raises(grpc.RpcError) as refused:
        ask_grpc(server, service, metadata, **fields)
    assert refused.value.code() == code


@pytest.mark.parametrize(
    "unit", ["", "x" * 10_000, "\xff\xfe", "a, b"], ids=["empty", "10 KB", "not UTF-8", "two"]
)
def test_a_strange_unit_changes_nothing(server, unit):
    headers = [(b"x-member-id", unit.encode("latin-1")), (b"x-intent-experiment", b'a"\xff')]
    response = server.http.post(
        "/v1/models/encoder:predict", json={"instances": [{"text": "a"}]}, headers=headers
    )
    assert response.status_code == 200
