"""Reading and writing resources; every error names kind, namespace, name and the server's reason.

Two ways of writing keep two writers from losing each other's work. `apply` is server-side: each
writer owns the fields that it gives, and is refused those of others. `patch` with the
resourceVersion that was read is refused when somebody else wrote meanwhile; `patched` reads anew
and tries again then.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components.cluster.client import Kind, kind_of, send
from components.cluster.errors import Conflict, NotFound

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

TRIES = 20
_PAGE = 500
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_JSON = "application/json-patch+json"


def apply(
    api: "ApiClient",
    manifest: Mapping[str, Any],
    *,
    namespace: str,
    manager: str,
    force: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Apply a manifest on the server's side.

    Args:
        api: from `connect`.
        manifest: of one of the known kinds, holding just the fields that `manager` has a say in.
        namespace: of the resource.
        manager: who owns these fields from now on. A field that it gave before and gives no
            longer is removed, unless others own it too.
        force: take fields that others own, rather than be refused.
        dry_run: have the server check everything and keep nothing.

    Returns:
        The resource as it is now, or would be.

    Raises:
        Conflict: another manager owns a field with another value; names both.
        ClusterError: the server refuses it, or does not answer.
    """
    kind, name = kind_of(manifest), manifest["metadata"]["name"]
    return send(
        api,
        "PATCH",
        kind.path(namespace, name),
        what=_what(kind, namespace, name),
        query={
            "fieldManager": manager,
            "force": "true" if force else "",
            "dryRun": "All" if dry_run else "",
        },
        body=dict(manifest),
        content=_APPLY,
    )


def get(api: "ApiClient", kind: Kind, name: str, *, namespace: str) -> dict[str, Any]:
    """Read a resource.

    Raises:
        NotFound: there is none.
        ClusterError: it cannot be read.
    """
    return send(api, "GET", kind.path(namespace, name), what=_what(kind, namespace, name))


def find(api: "ApiClient", kind: Kind, name: str, *, namespace: str) -> dict[str, Any] | None:
    """Read a resource; None when there is none."""
    try:
        return get(api, kind, name, namespace=namespace)
    except NotFound:
        return None


def listed(
    api: "ApiClient", kind: Kind, *, namespace: str, labels: str = ""
) -> tuple[list[dict[str, Any]], str]:
    """Read all resources of a kind.

    Args:
        api: from `connect`.
        kind: of the resources.
        namespace: of the resources.
        labels: selector, such as "app=x,tier!=y".

    Returns:
        The resources, each with its apiVersion and kind, and the version of the whole that a
        watch can begin at.

    Raises:
        ClusterError: they cannot be read.
    """
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        answer = send(
            api,
            "GET",
            kind.path(namespace),
            what=f"{kind.plural} of {namespace}",
            query={"labelSelector": labels, "limit": _PAGE, "continue": after},
        )
        named = {"apiVersion": kind.api_version, "kind": kind.kind}
        found += [{**named, **item} for item in answer["items"]]
        after = answer["metadata"].get("continue", "")
        if not after:
            return found, answer["metadata"]["resourceVersion"]


def create(
    api: "ApiClient",
    manifest: Mapping[str, Any],
    *,
    namespace: str,
    manager: str,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Create a resource.

    Raises:
        Conflict: there is one of that name.
        ClusterError: the server refuses it.
    """
    kind = kind_of(manifest)
    name = manifest["metadata"].get("name") or manifest["metadata"].get("generateName", "")
    return send(
        api,
        "POST",
        kind.path(namespace),
        what=_what(kind, namespace, name),
        query={"fieldManager": manager, "dryRun": "All" if dry_run else ""},
        body=dict(manifest),
    )


def patch(
    api: "ApiClient",
    kind: Kind,
    name: str,
    change: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    namespace: str,
    manager: str,
    subresource: str = "",
    dry_run: bool = False,
) -> dict[str, Any]:
    """Change a part of a resource.

    Args:
        api: from `connect`.
        kind: of the resource.
        name: of the resource.
        change: a merge patch (a mapping), or the operations of a JSON patch. A mapping that gives
            metadata.resourceVersion is refused when the resource is no longer that version.
        namespace: of the resource.
        manager: who changes it.
        subresource: such as "status".
        dry_run: have the server check everything and keep nothing.

    Raises:
        Conflict: the resource changed meanwhile.
        ClusterError: the server refuses it.
    """
    merge = isinstance(change, Mapping)
    return send(
        api,
        "PATCH",
        kind.path(namespace, name, subresource),
        what=_what(kind, namespace, name),
        query={"fieldManager": manager, "dryRun": "All" if dry_run else ""},
        body=dict(change) if isinstance(change, Mapping) else list(change),
        content=_MERGE if merge else _JSON,
    )


def patched(
    api: "ApiClient",
    kind: Kind,
    name: str,
    edit: Callable[[dict[str, Any]], Mapping[str, Any] | None],
    *,
    namespace: str,
    manager: str,
    subresource: str = "",
    dry_run: bool = False,
) -> dict[str, Any]:
    """Read a resource, change it, and begin anew when somebody else changed it meanwhile.

    Args:
        api: from `connect`.
        kind: of the resource.
        name: of the resource.
        edit: makes a merge patch of the resource as it is, or None to leave it so. It is called
            again for each try, and what it raises ends them.
        namespace: of the resource.
        manager: who changes it.
        subresource: that the change goes to, such as "status".
        dry_run: have the server check everything and keep nothing.

    Returns:
        The resource as it is now.

    Raises:
        Conflict: others kept changing it, `TRIES` times in a row.
        ClusterError: the server refuses the change.
    """
    for _ in range(TRIES):
        resource = get(api, kind, name, namespace=namespace)
        change = edit(resource)
        if change is None:
            return resource
        version = {"resourceVersion": resource["metadata"]["resourceVersion"]}
        held = {**change, "metadata": {**change.get("metadata", {}), **version}}
        try:
            return patch(
                api,
                kind,
                name,
                held,
                namespace=namespace,
                manager=manager,
                subresource=subresource,
                dry_run=dry_run,
            )
        except Conflict:
            continue
    raise Conflict(
        f"{_what(kind, namespace, name)}: others kept changing it, {TRIES} times in a row"
    )


def disown(
    api: "ApiClient", kind: Kind, name: str, field: str, *, namespace: str, manager: str
) -> None:
    """Give up a field that a manager owns wherever it is in a resource; its values stay.

    Whoever applies it on the server's side next has no conflict with that manager.

    Args:
        api: from `connect`.
        kind: of the resource.
        name: of the resource.
        field: the last part of its path, such as "percent".
        namespace: of the resource.
        manager: who gives it up.

    Raises:
        ClusterError: the server refuses it.
    """

    def edit(resource: dict[str, Any]) -> dict[str, Any] | None:
        entries = resource["metadata"].get("managedFields", [])
        kept = [
            {**entry, "fieldsV1": _without(entry.get("fieldsV1", {}), f"f:{field}")}
            if entry["manager"] == manager
            else entry
            for entry in entries
        ]
        return None if kept == entries else {"metadata": {"managedFields": kept}}

    patched(api, kind, name, edit, namespace=namespace, manager=manager)


def delete(
    api: "ApiClient", kind: Kind, name: str, *, namespace: str, cascade: str = "Background"
) -> bool:
    """Delete a resource.

    Args:
        api: from `connect`.
        kind: of the resource.
        name: of the resource.
        namespace: of the resource.
        cascade: what happens to what it owns: Background, Foreground or Orphan.

    Returns:
        Whether there was one.

    Raises:
        ClusterError: it cannot be deleted.
    """
    try:
        send(
            api,
            "DELETE",
            kind.path(namespace, name),
            what=_what(kind, namespace, name),
            query={"propagationPolicy": cascade},
        )
    except NotFound:
        return False
    return True


def _without(fields: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: _without(inner, key) for name, inner in fields.items() if name != key}


def _what(kind: Kind, namespace: str, name: str) -> str:
    return f"{kind.kind} {namespace}/{name}"
