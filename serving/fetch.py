"""Bring a registered package, or what a run left of its members, to a local directory.

What a pod does before its consumer starts: `python -m serving.fetch package REGISTRY MODEL --to
DIR` and `python -m serving.fetch run PLACE --to DIR`. Places are folders or gs://BUCKET/PREFIX.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow.fs as fs

from components.activity.locate import BUCKET_SCHEME, bucket_filesystem
from components.errors import IntentError
from components.files import whole_directory
from components.variants.package import ABOUT, open_package, read_about
from serving.errors import ServingError

NEWEST = "newest"
OF_A_RUN = ("sessions", "tokens", "vectors")
"""Steps of a run that updates start from, see serving/nearline/snapshot.py."""

_ORIGIN = "origin.txt"


def fetch_package(registry: str, model: str, target: Path, *, version: str = NEWEST) -> str:
    """Copy a variant's package, unless `target` is that version already.

    Args:
        registry: a folder, or gs://bucket/prefix.
        model: name of the variant's InferenceService, as suggestions-finetuned.
        target: directory to create or replace.
        version: of the package, or "newest" for the one registered last.

    Returns:
        The version.

    Raises:
        ServingError: the registry has no such variant or cannot be read.
        VariantError: the package that arrived is damaged.
    """
    system, root = _place(registry)
    if version == NEWEST:
        version = _newest(system, f"{root}/variants/{model}/index.json", registry, model)
    if not (target / ABOUT).exists() or read_about(target).version != version:
        with whole_directory(target) as aside:
            _copy(system, f"{root}/packages/{model}/{version}", aside, f"{model} {version}")
            open_package(aside)
    return version


def fetch_run(place: str, target: Path) -> None:
    """Copy what nearline updates start from, unless `target` came from the same place.

    Args:
        place: directory of a finished run, in a folder or a bucket.
        target: directory to create or replace.

    Raises:
        ServingError: a step's output is missing or cannot be read; names it.
    """
    origin = target / _ORIGIN
    if origin.exists() and origin.read_text() == place:
        return
    system, root = _place(place)
    with whole_directory(target) as aside:
        for step in OF_A_RUN:
            _copy(system, f"{root}/{step}", aside / step, f"{place}/{step}")
        (aside / _ORIGIN).write_text(place)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch what the command line asks for; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.what == "package":
            version = fetch_package(
                options.registry, options.model, options.to, version=options.version
            )
            print(f"fetched {options.model} {version} into {options.to}")
        else:
            fetch_run(options.place, options.to)
            print(f"fetched {options.place} into {options.to}")
    except IntentError as error:
        print(f"fetch: {error}", file=sys.stderr)
        return 1
    return 0


def _place(url: str) -> tuple[fs.FileSystem, str]:
    if url.startswith(BUCKET_SCHEME):
        return bucket_filesystem(), url.removeprefix(BUCKET_SCHEME).rstrip("/")
    return fs.LocalFileSystem(), str(Path(url.removeprefix("file://")).absolute())


def _newest(system: fs.FileSystem, index: str, registry: str, model: str) -> str:
    try:
        with system.open_input_file(index) as stored:
            return json.loads(stored.read())[-1]
    except FileNotFoundError:
        raise ServingError(f"{registry}: no variant {model} is registered there") from None
    except (OSError, ValueError, IndexError) as error:
        raise ServingError(f"{index}: cannot be read: {error}") from error


def _copy(system: fs.FileSystem, source: str, target: Path, name: str) -> None:
    try:
        if system.get_file_info(source).type != fs.FileType.Directory:
            raise ServingError(f"{name}: is not there ({source})")
        target.mkdir(parents=True, exist_ok=True)
        fs.copy_files(
            source,
            str(target),
            source_filesystem=system,
            destination_filesystem=fs.LocalFileSystem(),
        )
    except OSError as error:
        raise ServingError(f"{name}: cannot be copied from {source}: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving.fetch", description=__doc__)
    kinds = parser.add_subparsers(dest="what", required=True)
    package = kinds.add_parser("package", help="a registered variant's package")
    package.add_argument("registry", help="folder or gs://BUCKET/PREFIX")
    package.add_argument("model", help="name of the InferenceService, as suggestions-finetuned")
    package.add_argument("--version", default=NEWEST, help="of the package, newest by default")
    run = kinds.add_parser("run", help="what nearline updates start from")
    run.add_argument("place", help="a finished run, in a folder or gs://BUCKET/PREFIX")
    for kind in (package, run):
        kind.add_argument("--to", type=Path, required=True, help="directory to create or replace")
    return parser


if __name__ == "__main__":
    sys.exit(main())
