"""Build the images: `python -m tests.images.build [--base NAME] [--tree DIR] [IMAGE ...]`.

The standard library is all it needs. What was built is kept outside the tree, layer by layer: a
change of code builds the last, small layer anew; one of pyproject.toml, serving/requirements.txt
or constraints.txt the environment.
"""

import argparse
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

from components.errors import IntentError
from tests.images.engines import Engine, Recipe, find_engine

TREE = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "intent-store" / "images"
RECIPES = {
    "train": Recipe("Dockerfile.train", "cpu", "intent-store/train"),
    "train-cuda": Recipe("Dockerfile.train", "cuda", "intent-store/train-cuda"),
    "train-v100": Recipe("Dockerfile.train", "v100", "intent-store/train-v100"),
    "train-tensorflow": Recipe("Dockerfile.train", "tensorflow", "intent-store/train-tensorflow"),
    "serve": Recipe("Dockerfile.serve", "serve", "intent-store/serve"),
}
DEFAULT = ("train", "serve")


def version(tree: Path = TREE) -> str:
    """Return the product's version, which is the images' tag."""
    return tomllib.loads((tree / "pyproject.toml").read_text())["project"]["version"]


def revision(tree: Path = TREE) -> str:
    """Return the commit that the tree is at, `-dirty` when files differ; `unknown` without git."""
    command = ["git", "-C", str(tree), "describe", "--always", "--abbrev=40", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def build(engine: Engine, name: str, *, tree: Path = TREE, base: str | None = None) -> str:
    """Build an image and return its tag.

    Args:
        engine: what builds.
        name: key of RECIPES.
        tree: the source tree.
        base: image that it stands on; None takes the engine's own.

    Raises:
        ImageError: it was not built.
    """
    recipe = RECIPES[name]
    tag = f"{recipe.repository}:{version(tree)}"
    arguments = {"VERSION": version(tree), "REVISION": revision(tree)}
    if "INTENT_SOURCE" in os.environ:
        arguments["SOURCE"] = os.environ["INTENT_SOURCE"]
    if base is not None:
        arguments["BASE"] = base
    engine.build(recipe, tag, tree, arguments)
    return tag


def size(root: Path) -> int:
    """Return how large a root file system is, bytes; links to one file count once."""
    seen: set[int] = set()
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            found = os.lstat(os.path.join(folder, name))
            if found.st_ino not in seen:
                seen.add(found.st_ino)
                total += found.st_size
    return total


def main(argv: Sequence[str] | None = None) -> int:
    """Build what is asked for and print sizes; the exit code is 1 when something was not built."""
    parser = argparse.ArgumentParser(prog="python -m tests.images.build", description=__doc__)
    add = parser.add_argument
    add("images", nargs="*", metavar="IMAGE", help=f"of {', '.join(RECIPES)}")
    add("--base", help="image to stand on: Debian 12 with Python 3.11; give it by digest")
    add("--tree", type=Path, default=TREE, help="source tree")
    asked = parser.parse_args(argv)
    unknown = [name for name in asked.images if name not in RECIPES]
    if unknown:
        parser.error(f"no such image: {', '.join(unknown)}; there are {', '.join(RECIPES)}")
    try:
        engine = find_engine(CACHE)
        for name in asked.images or DEFAULT:
            start = time.monotonic()
            tag = build(engine, name, tree=asked.tree, base=asked.base)
            took = time.monotonic() - start
            with engine.open(tag) as image:
                print(f"{tag}: {size(image.root) / 1e9:.2f} GB, built in {took:.0f} s", flush=True)
    except IntentError as error:
        print(f"intent: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
