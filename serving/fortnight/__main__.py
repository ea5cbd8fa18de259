"""`python -m serving.fortnight`: replay a run's members against what it serves, then compare.

Without --router the fortnight serves by itself: its own experiments, among them an A/A test and a
broken variant, with the packages of --variant. With it, members are replayed against a router
that runs already, whose state directory is --state.
"""

import argparse
import logging
import signal
import sys
from pathlib import Path

from pydantic import ValidationError

from components.errors import IntentError
from serving.fortnight.config import FortnightConfig

_HELP = {
    "days": "simulated days",
    "visits": "mean visits per member over all days",
    "suggestions": "suggested searches on a home page",
    "recommended": "postings on a page of recommendations",
    "postings": "fresh postings a day",
    "named": "members asked for per fresh posting",
    "concurrency": "requests under way at a time",
    "timeout": "seconds after which an answer is given up",
    "most_failures": "share of a day's requests that may fail",
    "seed": "decides everything but the answers",
}


def main(arguments: list[str] | None = None) -> int:
    """Replay and print Table 7; the exit code is 1 when that fails."""
    asked = _parser().parse_args(arguments)
    # What the fortnight started is stopped on the way out, however it ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    from rich.console import Console

    from serving.fortnight.report import add_to_report
    from serving.fortnight.stage import Market, analysed, replay, staged
    from serving.fortnight.table import print_table

    given = {name: getattr(asked, name) for name in _HELP if getattr(asked, name) is not None}
    try:
        config = FortnightConfig(**given)
        market = Market.of_run(asked.run)
        if asked.router is None:
            findings = staged(
                market,
                variants=asked.variant,
                store=asked.store,
                state=asked.state,
                config=config,
                ports=(asked.port, asked.grpc_port),
            )
        else:
            replay(
                market,
                asked.router,
                experiments=asked.experiments,
                state=asked.state,
                config=config,
            )
            findings = analysed(market, experiments=asked.experiments, state=asked.state)
        console = Console()
        print_table(findings, console)
        console.print(f"  {asked.state / 'table-7' / 'index.html'}", soft_wrap=True)
        console.print(f"  {add_to_report(asked.run, findings)}", soft_wrap=True)
    except ValidationError as error:
        first = error.errors()[0]
        sys.stderr.write(f"fortnight: --{first['loc'][0]}: {first['msg']}\n")
        return 2
    except IntentError as error:
        sys.stderr.write(f"fortnight: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("fortnight: cut short; the same command goes on with the next day\n")
        return 128 + signal.SIGINT
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving.fortnight", description=__doc__)
    add = parser.add_argument
    add("--run", type=Path, required=True, help="directory of a finished run")
    add("--state", type=Path, required=True, help="directory for everything")
    add("--variant", type=Path, action="append", default=[], help="a package; may be repeated")
    add("--store", help="URL of the store")
    add("--router", help="address of a router that runs already")
    add("--experiments", type=Path, help="manifests of that router")
    add("--port", type=int, default=8180, help="of the fortnight's own router, REST")
    add("--grpc-port", type=int, default=8190, help="of the fortnight's own router, gRPC")
    for name, text in _HELP.items():
        add(f"--{name.replace('_', '-')}", help=text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
