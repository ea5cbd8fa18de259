"""`python -m serving.local up|down`: everything that serves, on one machine."""

import argparse
import sys
from pathlib import Path

from components.errors import IntentError
from serving.local.stack import down, up


def main() -> int:
    """Start or stop; the exit code is 1 when that fails."""
    parser = argparse.ArgumentParser(prog="python -m serving.local", description=__doc__)
    parser.add_argument("do", choices=("up", "down"))
    parser.add_argument("--state", type=Path, required=True, help="directory of logs and exposures")
    parser.add_argument("--variant", type=Path, action="append", default=[], help="a package")
    parser.add_argument("--store", help="URL of the store")
    parser.add_argument("--experiments", type=Path, help="directory of manifests")
    parser.add_argument("--port", type=int, default=8080, help="of the router, REST")
    parser.add_argument("--grpc-port", type=int, default=8090, help="of the router, gRPC")
    asked = parser.parse_args()
    try:
        if asked.do == "down":
            stopped = down(asked.state)
            print(f"stopped {' and '.join(stopped)}" if stopped else "nothing was running")
            return 0
        address = up(
            asked.variant,
            store=asked.store,
            experiments=asked.experiments,
            state=asked.state,
            port=asked.port,
            grpc=asked.grpc_port,
        )
    except IntentError as error:
        print(f"intent: {error}", file=sys.stderr)
        return 1
    print(f"serving {len(asked.variant)} variants at {address}, gRPC at port {asked.grpc_port}")
    print(f"logs and exposures: {asked.state}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
