"""What lies in an image that should, and what should not."""

import json
import os
import re
from pathlib import Path

from tests.images.engines import Opened

ROOMS = ("components", "pipelines", "serving")
_LEFT_BY_BUILDS = (
    "build",
    "etc/pip.conf",
    "root/.cache",
    "root/.config",
    "run/secrets",
    "var/cache/apt/archives/*.deb",
    "var/cache/pip",
    "var/lib/apt/lists/*_Packages*",
)
_OF_OURS = re.compile(r"(^|/)(tests?|conftest\.py|\.git|runs|\.venv|\.env)(/|$)")
_SAYS_SECRET = re.compile(r"password|token|credential|secret|://[^/\s]+:[^/\s]+@", re.IGNORECASE)


def carried(root: Path) -> set[str]:
    """Return the source files of our rooms, in an image or in the tree."""
    home = root / "opt" / "intent" if (root / "opt" / "intent").is_dir() else root
    return {str(path.relative_to(home)) for room in ROOMS for path in (home / room).rglob("*.py")}


def unwanted(root: Path) -> list[str]:
    """Return what builds left behind, and what of the tree is not for an image."""
    left = [str(path.relative_to(root)) for name in _LEFT_BY_BUILDS for path in root.glob(name)]
    left = [name for name in left if not _empty(root / name)]
    ours = root / "opt" / "intent"
    for folder, _, names in os.walk(ours):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), ours)
            if _OF_OURS.search(path):
                left.append(f"opt/intent/{path}")
    return sorted(left)


def secrets(image: Opened) -> list[str]:
    """Return the lines of an image's configuration that look like a secret."""
    lines = json.dumps(image.config, indent=1).splitlines()
    return [line.strip() for line in lines if _SAYS_SECRET.search(line)]


def _empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
