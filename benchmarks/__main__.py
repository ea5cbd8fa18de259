"""`python -m benchmarks [NAME ...]`: run the benchmarks whose names begin so, print one table."""

import argparse
import importlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.harness import ROOT, Benchmark, machine

RESULTS = ROOT / "benchmarks" / "results"


def main() -> int:
    """Run, print, write `benchmarks/results/THING.json`; a missed target is no error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="what a benchmark's name begins with"
    )
    parser.add_argument("--full", action="store_true", help="run the very long ones too")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    arguments = parser.parse_args()
    wanted = tuple(arguments.names) or ("",)
    progress, records, failed = Console(stderr=True), [], []
    for thing, offered in _offered().items():
        chosen = [
            benchmark
            for benchmark in offered
            if benchmark.name.startswith(wanted) and (arguments.full or not benchmark.full)
        ]
        for benchmark in chosen:
            if arguments.list:
                print(benchmark.name)
                continue
            with progress.status(benchmark.name):
                try:
                    rows = _run(benchmark)
                except Exception as error:  # one broken peer must not cost the other figures
                    progress.print(f"{benchmark.name}: {error}", style="red", markup=False)
                    failed.append(benchmark.name)
                    continue
            records += rows
            _keep(RESULTS / f"{thing}.json", rows, benchmark, offered)
    if records:
        _print(records)
    elif not (arguments.list or failed):
        parser.error(f"no benchmark begins with {' or '.join(wanted)}; try --list")
    return 1 if failed else 0


def _offered() -> dict[str, list[Benchmark]]:
    modules = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    return {
        module.removeprefix("bench_"): importlib.import_module(f"benchmarks.{module}").BENCHMARKS
        for module in modules
    }


def _run(benchmark: Benchmark) -> list[dict]:
    work = Path(tempfile.mkdtemp(prefix="benchmark-"))
    try:
        return [row.record(benchmark.name) for row in benchmark.run(work)]
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _keep(file: Path, rows: list[dict], benchmark: Benchmark, offered: list[Benchmark]) -> None:
    """Replace the rows of `benchmark`, keep its siblings', forget those no longer offered."""
    known = json.loads(file.read_text()) if file.exists() else []
    siblings = {other.name for other in offered} - {benchmark.name}
    kept = [row for row in known if row["name"].split(": ")[0] in siblings]
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(kept + rows, indent=1) + "\n")


def _print(records: list[dict]) -> None:
    table = Table(title=machine(), title_justify="left")
    table.add_column("benchmark", overflow="fold")
    for column in ("unit", "ours", "peer", "peer name", "target", "met", "ratio"):
        table.add_column(column, justify="right" if column in ("ours", "peer", "ratio") else "left")
    for record in records:
        table.add_row(
            record["name"],
            record["unit"],
            _short(record["ours"]),
            _short(record["peer"]),
            record["peer_name"] or "",
            record["target"],
            "yes" if record["met"] else "[red]no[/red]",
            _short(record["ratio"]),
        )
    # Piped output would otherwise be folded to 80 columns, through the figures.
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _short(figure: float | None) -> str:
    if figure is None:
        return ""
    return f"{figure:,.0f}" if abs(figure) >= 1000 else f"{figure:.3g}"


if __name__ == "__main__":
    sys.exit(main())
