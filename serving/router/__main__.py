"""`python -m serving.router`: route requests to variants by the experiments' manifests."""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from components.errors import IntentError
from serving.router.router import Router
from serving.router.settings import Settings

_HELP = {
    "experiments": "directory of Experiment manifests, or kubernetes:[NAMESPACE]",
    "upstreams": "YAML file that says where each InferenceService answers",
    "state": "directory for everything the router writes",
    "listen": "address for REST, by default 127.0.0.1:8080",
    "grpc_listen": "address for gRPC",
    "outcomes": "directory of outcomes in Parquet that guardrails are judged by",
    "exposures_to": "directory or gs://bucket/prefix that exposures are shipped to",
    "name": "of this router among its replicas, by default the host's",
    "workers": "nginx workers, by default one per core",
    "control_timeout": "seconds the control may take",
    "keepalive": "seconds after which a client's idle connection is closed",
    "most_body": "bytes a request may have",
    "watch_every": "seconds between looks at manifests and upstreams",
    "rotate_every": "seconds after which exposures are shipped",
    "rotate_bytes": "size of the exposure log from which it is shipped earlier",
    "most_kept": "bytes of shipped exposures kept in the state directory, given --exposures-to",
    "guard_every": "seconds between looks at the guardrails",
    "guard_hours": "age of the oldest exposures that guardrails look at",
    "report_every": "seconds between reports in the status of a cluster's experiments",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m serving.router", description=__doc__)
    for name, field in Settings.model_fields.items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, required=field.is_required(), help=_HELP[name])
    given = {k: v for k, v in vars(parser.parse_args(arguments)).items() if v is not None}
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        router = Router(Settings.model_validate(given))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: router.stop())
        router.start()
        router.run()
    except ValidationError as error:
        first = error.errors()[0]
        flag = str(first["loc"][0]).replace("_", "-")
        print(f"router: --{flag}: {first['msg']}", file=sys.stderr)
        return 2
    except IntentError as error:
        print(f"router: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
