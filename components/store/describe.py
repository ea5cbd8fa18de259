"""What the command line says of a store, and does with it."""

from datetime import UTC, datetime
from pathlib import Path

from components.store.errors import StoreError
from components.store.store import open_store
from components.store.versions import Version


def status(url: str | Path, dataset: str) -> str:
    """Say which versions there are, and which one is read."""
    with open_store(url, dataset=dataset) as store:
        versions, deleted = store.versions(), len(store.deleted())
    lines = [_version(version) for version in versions] or ["nothing was pushed yet"]
    return "\n".join([f"dataset {dataset}, {deleted:,} members deleted", *lines])


def record(url: str | Path, dataset: str, member_id: str, *, first: int = 8) -> str:
    """Say what the store holds of a member: labels by name, and the vector's first numbers.

    Raises:
        StoreError: it holds nothing of the member.
    """
    with open_store(url, dataset=dataset) as store:
        found, version, labels = store.get(member_id), store.current(), store.labels()
    if found is None or version is None:
        raise StoreError(f"{dataset}: holds no member {member_id!r}")
    names = {}
    if labels is not None:
        texts = zip(labels["kind"].to_pylist(), labels["text"].to_pylist(), strict=True)
        names = dict(zip(labels["id"].to_pylist(), texts, strict=True))
    numbers = " ".join(f"{number:.3f}" for number in found.vector[:first])
    more = " ..." if len(found.vector) > first else ""
    lines = [
        f"member {member_id}, version {found.version}, data of {_time(found.data_time)}",
        f"vector of {len(found.vector)}: {numbers}{more}",
    ]
    for surface, ids, scores in zip(
        version.schema.surfaces, found.labels, found.scores, strict=True
    ):
        lines.append(f"{surface}:")
        for label, score in zip(ids.tolist(), scores.tolist(), strict=True):
            if label >= 0:
                kind, text = names.get(label, ("label", str(label)))
                lines.append(f"  {score:.3f} {kind} {text}")
    return "\n".join(lines)


def rollback(url: str | Path, dataset: str) -> str:
    """Return to the version before, and say which that is."""
    with open_store(url, dataset=dataset, role="writer") as store:
        return _version(store.rollback())


def delete(url: str | Path, dataset: str, member_id: str) -> str:
    """Remove a member for good, and say so."""
    with open_store(url, dataset=dataset, role="writer") as store:
        new = store.delete(member_id)
    return f"{member_id}: " + ("deleted, and kept out of later pushes" if new else "was deleted")


def _version(version: Version) -> str:
    size = f"{version.members:,} members of {version.schema.dimension} dimensions"
    pushed = f"pushed {_time(version.pushed_at)}" if version.pushed_at else "not finished"
    return (
        f"version {version.number}, {version.status}: {size}, model {version.model}, "
        f"data of {_time(version.data_time)}, {pushed}"
    )


def _time(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
