"""Ask what is installed whether it serves: `python -m serving.check --router URL [--store URL]`.

What `helm test` runs. The router says of itself that it holds every experiment; each service that
has a variant answers a question through it, and says in its headers who answered; the store takes a
look-up. A service without variant is reported, and fails the check only where it is required. The
questions name no unit, so they count in no experiment.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import httpx

from components.errors import IntentError
from components.store.store import open_store
from components.variants.names import DATASETS

QUESTIONS = {
    "encoder": {"text": "ward nurse"},
    "suggestions": {"member_id": "nobody that is known"},
    "ranker": {"query": "ward nurse", "items": ["no posting that is known"]},
    "audience": {"title": "ward nurse", "k": 1},
    "candidates": {"member_id": "nobody that is known", "k": 1},
}
"""By service: an instance that every variant can answer, whatever it was trained on."""

HEADERS = ("x-request-id", "x-intent-variant", "x-intent-served")
"""What the router says of every answer."""

_SECONDS = 15.0


class Finding(NamedTuple):
    """What one question showed.

    Attributes:
        subject: what was asked.
        problem: why it failed, None when it did not.
        note: what is worth saying of it.
    """

    subject: str
    problem: str | None = None
    note: str = ""


def check(
    router: str, *, store: str | None, require: Sequence[str], patience: float
) -> Iterator[Finding]:
    """Ask the router, the services behind it and the store.

    Args:
        router: its REST address.
        store: URL of the store, None to leave it out.
        require: services that must have a variant.
        patience: seconds to wait for the router's first answer.
    """
    with httpx.Client(base_url=router, timeout=_SECONDS) as client:
        status = _status(client, patience)
        yield status
        if status.problem is None:
            for service in QUESTIONS:
                yield _service(client, service, required=service in require)
    if store:
        yield _store(store)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every finding; return 1 when one of them is a failure."""
    options = _parser().parse_args(arguments)
    failed = 0
    for finding in check(
        options.router, store=options.store, require=options.require, patience=options.patience
    ):
        failed += finding.problem is not None
        result = "ok" if finding.problem is None else "FAILED"
        print(f"{result:7}{finding.subject}: {finding.problem or finding.note}", flush=True)
    return 1 if failed else 0


def _status(client: httpx.Client, patience: float) -> Finding:
    end = time.monotonic() + patience
    while True:
        try:
            answer = client.get("/status")
            answer.raise_for_status()
            said = answer.json()
            break
        except (httpx.HTTPError, ValueError) as error:
            if time.monotonic() > end:
                return Finding("router", f"/status does not answer: {error}")
            time.sleep(1)
    problems = [said["error"]] if said.get("error") else []
    problems += [refused["reason"] for refused in said.get("rejected", ())]
    problems += said.get("away", ())
    if problems:
        return Finding("router", "; ".join(problems))
    return Finding("router", note=f"{len(said.get('experiments', ()))} experiments")


def _service(client: httpx.Client, service: str, *, required: bool) -> Finding:
    try:
        answer = client.post(
            f"/v1/models/{service}:predict", json={"instances": [QUESTIONS[service]]}
        )
    except httpx.HTTPError as error:
        return Finding(service, f"no answer: {error}")
    if answer.status_code == 404 and "x-intent-variant" not in answer.headers:
        missing = "has no variant yet"
        return Finding(service, missing) if required else Finding(service, note=missing)
    if answer.status_code != 200:
        return Finding(service, f"answered {answer.status_code}: {answer.text[:300]}")
    lacking = [name for name in HEADERS if not answer.headers.get(name)]
    if lacking:
        return Finding(service, f"the answer lacks the header {', '.join(lacking)}")
    served, meant = answer.headers["x-intent-served"], answer.headers["x-intent-variant"]
    if served != meant:
        return Finding(service, f"{meant} failed, {served} answered instead")
    return Finding(service, note=f"answered by {served}")


def _store(url: str) -> Finding:
    dataset = DATASETS[0]
    try:
        with open_store(url, dataset=dataset) as store:
            version = store.current()
            if version is None:
                return Finding("store", note=f"nothing was pushed to {dataset} yet")
            store.get("nobody that is known")
    except IntentError as error:
        return Finding("store", str(error))
    return Finding("store", note=f"{dataset} is at version {version.number}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving.check", description=__doc__)
    add = parser.add_argument
    add("--router", required=True, help="REST address, as http://intent-store-router")
    add("--store", default=os.environ.get("INTENT_STORE_URL"), help="URL of the store")
    add(
        "--require",
        action="append",
        default=[],
        choices=list(QUESTIONS),
        metavar="SERVICE",
        help=f"one that must have a variant, of {', '.join(QUESTIONS)}; may be repeated",
    )
    add("--patience", type=float, default=60.0, metavar="SECONDS", help="for the router's start")
    return parser


if __name__ == "__main__":
    sys.exit(main())
