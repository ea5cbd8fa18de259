"""serving/requirements.txt: what the serving image installs is what serving imports."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

TREE = Path(__file__).parents[2]
ROOMS = ("components", "pipelines", "serving")
# Imported inside functions that no server calls, or under them.
NOT_FOR_SERVING = {
    "fasttext": "trains word vectors",
    "pyspark": "cuts the sessions of many machines' data",
}
# The replay of a simulated fortnight and this machine's stack are no part of a deployment.
NOT_DEPLOYED = ("serving.fortnight", "serving.local")


def required() -> list[str]:
    lines = (TREE / "serving" / "requirements.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def file_of(module: str) -> Path | None:
    path = TREE.joinpath(*module.split("."))
    for found in (path.with_suffix(".py"), path / "__init__.py"):
        if found.exists():
            return found
    return None


def imports(path: Path) -> set[str]:
    """Return every module that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def third_parties(modules: list[str]) -> dict[str, str]:
    """Follow imports through our rooms; return the others' modules and who imports each."""
    seen: set[str] = set()
    found: dict[str, str] = {}
    while modules:
        module = modules.pop()
        path = file_of(module)
        if module in seen or path is None:
            continue
        seen.add(module)
        for name in imports(path):
            top = name.split(".")[0]
            if top in ROOMS:
                modules.append(name)
            elif top not in sys.stdlib_module_names:
                found.setdefault(top, module)
    return found


def deployed() -> list[str]:
    files = (TREE / "serving").rglob("*.py")
    names = [".".join(path.relative_to(TREE).with_suffix("").parts) for path in files]
    return [name for name in names if not name.startswith(NOT_DEPLOYED)]


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.split("[")[0]).lower()


def test_everything_that_serving_imports_is_required():
    there = {plain(name) for name in required()}
    distributions = packages_distributions()
    missing = {}
    for module, importer in third_parties(deployed()).items():
        # A namespace (google, opentelemetry) belongs to many: one of them is enough here.
        owners = {plain(name) for name in distributions.get(module, [module])}
        if module not in NOT_FOR_SERVING and not owners & there:
            missing[module] = importer
    assert missing == {}


def test_every_requirement_is_pinned():
    lines = (TREE / "constraints.txt").read_text().splitlines()[1:]
    pinned = {plain(line.split("==")[0]) for line in lines}
    assert [name for name in required() if plain(name) not in pinned] == []


def test_requirements_are_sorted_and_named_once():
    assert required() == sorted(set(required()))
