"""Serve packages: `python -m serving.server --model-dir DIR [--model-dir DIR ...] --store URL`.

Every package is a model of its own name, `<service>-<name>`; the service's name is a model too,
which passes requests on to the variant that the header `x-intent-model` names, else to the
service's first. One process may hold all services (one machine), or one package (an
InferenceService's container), or one side of the ranker (`--part`).
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from components.errors import IntentError


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    asked = _arguments().parse_args(argv)
    # One computation per core, each on one thread: more would only wait for each other.
    for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(pool, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # waking threads costs 1 ms a trail
    import uvloop

    from serving.telemetry import start_logging, start_tracing

    sys.setswitchinterval(0.0005)  # or a thread that computes holds up those that answer by 5 ms
    start_logging(access_lines=asked.access_log)
    start_tracing(asked.name)
    from serving.app import Listening, serve
    from serving.limits import Limits
    from serving.models.base import Place
    from serving.registry import Registry

    try:
        place = Place(
            limits=Limits(body_bytes=asked.max_body, instances=asked.max_instances),
            store=asked.store,
            unit_header=asked.unit_header.lower(),
            predictor=asked.predictor_host,
        )
        listening = Listening(
            host=asked.host,
            http_port=asked.http_port,
            grpc_port=asked.grpc_port,
            linger=asked.linger,
            grace=asked.grace,
            watch=asked.watch,
        )
        uvloop.run(serve(Registry(asked.model_dir, place, asked.part), listening))
    except (IntentError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving.server", description=__doc__)
    add = parser.add_argument
    add("--model-dir", type=Path, action="append", default=[], help="a package; may be repeated")
    add("--store", default=os.environ.get("INTENT_STORE_URL"), help="URL of the store")
    add("--part", choices=("all", "transformer", "predictor"), default="all", help="of the ranker")
    add("--predictor-host", "--predictor_host", help="host:port behind --part transformer")
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--http-port", "--http_port", type=int, default=8080)
    add("--grpc-port", "--grpc_port", type=int, help="no gRPC when not given")
    add("--unit-header", default="x-member-id", help="header of the experiments' unit")
    add("--max-body", type=int, default=1 << 20, metavar="BYTES", help="of a request")
    add("--max-instances", type=int, default=64, metavar="N", help="of a request")
    add("--linger", type=float, default=0.0, metavar="SECONDS", help="unready before closing")
    add("--grace", type=float, default=30.0, metavar="SECONDS", help="for requests in hand")
    add("--watch", type=float, default=2.0, metavar="SECONDS", help="for new versions; 0 never")
    add("--access-log", action="store_true", help="a log line for every request")
    add("--name", default="intent-serving", help="of this server, in traces")
    add("--model_name", "--model-name", help="as KServe tells a transformer; not heeded")
    return parser


if __name__ == "__main__":
    sys.exit(main())
