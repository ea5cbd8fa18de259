"""What `helm test` asks: a real router before a real server, and each thing that can be wrong."""

import threading

import httpx
import pytest
import yaml

from serving import check
from serving.router.router import Router
from serving.router.settings import Settings
from tests.serving.router.conftest import free_port, write_manifest

SERVED = {
    "encoder": "encoder-finetuned",
    "suggestions": "suggestions-finetuned",
    "ranker": "ranker-full-vector",
    "audience": "audience-expanded",
    "candidates": "candidates-finetuned",
}


class Routed:
    """A router in this process that sends services to one server."""

    def __init__(self, home, server, services, experiments=()):
        (home / "experiments").mkdir(parents=True)
        for changes in experiments:
            write_manifest(home / "experiments", **changes)
        address = server.url.removeprefix("http://")
        upstreams = {"services": services, "pattern": {"http": address}}
        (home / "upstreams.yaml").write_text(yaml.safe_dump(upstreams))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._router = Router(
            Settings.model_validate(
                {
                    "experiments": str(home / "experiments"),
                    "upstreams": str(home / "upstreams.yaml"),
                    "state": str(home / "state"),
                    "listen": f"127.0.0.1:{port}",
                    "workers": 1,
                }
            )
        )
        self._router.start()
        self._thread = threading.Thread(target=self._router.run)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._router.stop()
        self._thread.join()


def checked(capsys, *arguments):
    code = check.main([*arguments, "--patience=0"])
    return code, capsys.readouterr().out


def test_everything_that_is_served_answers_and_names_who_answered(made, server, tmp_path, capsys):
    with Routed(tmp_path, server, SERVED) as router:
        required = [f"--require={service}" for service in SERVED]
        code, said = checked(capsys, "--router", router.url, "--store", made.store, *required)
    assert code == 0, said
    for service, model in SERVED.items():
        assert f"{service}: answered by {model.removeprefix(service + '-')}" in said
    assert "store: finetuned is at version 1" in said


def test_a_service_without_variant_is_said_and_fails_only_when_required(server, tmp_path, capsys):
    with Routed(tmp_path, server, {"encoder": "encoder-finetuned"}) as router:
        code, said = checked(capsys, "--router", router.url)
        assert (code, "ok     ranker: has no variant yet" in said) == (0, True), said
        code, said = checked(capsys, "--router", router.url, "--require=ranker")
        assert (code, "FAILED ranker: has no variant yet" in said) == (1, True), said


def test_a_variant_that_fails_is_named_with_its_answer(server, tmp_path, capsys):
    with Routed(tmp_path, server, {"audience": "audience-nowhere"}) as router:
        code, said = checked(capsys, "--router", router.url)
    assert code == 1
    assert "FAILED audience: answered 404" in said
    assert "audience-nowhere" in said


def test_an_experiment_that_the_router_refused_is_named(server, tmp_path, capsys):
    bad = {"name": "spread-too-far", "variants": [{"name": "plain", "percent": 120}]}
    with Routed(tmp_path, server, SERVED, [bad]) as router:
        code, said = checked(capsys, "--router", router.url)
    assert code == 1
    assert "FAILED router" in said
    assert "spread-too-far" in said


def test_the_check_counts_in_no_experiment(server, tmp_path, capsys):
    half = {
        "service": "suggestions",
        "control": "finetuned",
        "variants": [
            {"name": "finetuned", "inferenceService": "suggestions-finetuned"},
            {"name": "words", "inferenceService": "suggestions-fasttext", "percent": 100},
        ],
    }
    with Routed(tmp_path, server, {}, [half]) as router:
        code, said = checked(capsys, "--router", router.url)
        assert code == 0, said
        assert "suggestions: answered by finetuned" in said
        drawn = httpx.get(f"{router.url}/metrics").text
    counted = [line for line in drawn.splitlines() if 'variant="words"' in line]
    assert not any("intent_router_requests" in line for line in counted)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--router", "http://127.0.0.1:1"], "FAILED router: /status does not answer"),
        (["--router", "http://127.0.0.1:1", "--store=redis://127.0.0.1:1/0"], "FAILED store: "),
    ],
)
def test_who_does_not_answer_is_named(capsys, arguments, message):
    code, said = checked(capsys, *arguments)
    assert code == 1
    assert message in said
