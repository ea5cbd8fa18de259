"""Reading and writing resources of a real API server, with others who write at the same time."""

import pytest

from components.cluster import apply as writing
from components.cluster.apply import (
    apply,
    create,
    delete,
    disown,
    find,
    get,
    listed,
    patch,
    patched,
)
from components.cluster.client import CONFIG_MAP, EXPERIMENT, connect, own_namespace
from components.cluster.errors import ClusterError, Conflict, Forbidden, Gone, NotFound
from components.cluster.watch import BOOKMARK, events
from tests.cluster.accounts import make_account, mount_account

pytestmark = pytest.mark.cluster


def config_map(name="m", **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_whoever_applies_owns_and_others_are_told_which_field_and_whose(cluster, namespace):
    api = cluster.client()
    apply(api, config_map(a="1"), namespace=namespace, manager="first")
    apply(api, config_map(b="1"), namespace=namespace, manager="second")
    with pytest.raises(Conflict) as refused:
        apply(api, config_map(a="2"), namespace=namespace, manager="second")
    for told in (f"ConfigMap {namespace}/m", "data.a", "first"):
        assert told in str(refused.value)
    found = apply(api, config_map(a="2"), namespace=namespace, manager="second", force=True)
    assert found["data"] == {"a": "2"}  # The second no longer gives b, which was its own.


def test_a_field_that_is_given_up_stays_and_can_be_taken_without_force(cluster, namespace):
    api = cluster.client()
    create(api, config_map(a="1", b="1"), namespace=namespace, manager="first")
    with pytest.raises(Conflict, match="first"):
        apply(api, config_map(a="2"), namespace=namespace, manager="second")
    disown(api, CONFIG_MAP, "m", "a", namespace=namespace, manager="first")
    assert get(api, CONFIG_MAP, "m", namespace=namespace)["data"] == {"a": "1", "b": "1"}
    found = apply(api, config_map(a="2"), namespace=namespace, manager="second")
    assert found["data"] == {"a": "2", "b": "1"}
    with pytest.raises(Conflict, match=r"data\.b.*first"):
        apply(api, config_map(a="2", b="2"), namespace=namespace, manager="second")


def test_a_dry_run_is_checked_by_the_server_and_keeps_nothing(cluster, namespace):
    api = cluster.client()
    would = apply(api, config_map(a="1"), namespace=namespace, manager="first", dry_run=True)
    assert would["data"] == {"a": "1"}
    assert find(api, CONFIG_MAP, "m", namespace=namespace) is None
    create(api, config_map(a="1"), namespace=namespace, manager="first", dry_run=True)
    with pytest.raises(NotFound, match=f"ConfigMap {namespace}/m: "):
        get(api, CONFIG_MAP, "m", namespace=namespace)


def test_a_change_is_made_anew_when_somebody_else_was_faster(cluster, namespace):
    api = cluster.client()
    create(api, config_map(a="0"), namespace=namespace, manager="first")
    tries = []

    def edit(resource):
        if not tries:
            patch(api, CONFIG_MAP, "m", {"data": {"other": "1"}}, namespace=namespace, manager="x")
        tries.append(resource["data"])
        return {"data": {"a": str(int(resource["data"]["a"]) + 1)}}

    found = patched(api, CONFIG_MAP, "m", edit, namespace=namespace, manager="first")
    assert len(tries) == 2
    assert found["data"] == {"a": "1", "other": "1"}


def test_what_others_keep_changing_is_given_up_by_name(cluster, namespace, monkeypatch):
    api = cluster.client()
    create(api, config_map(a="0"), namespace=namespace, manager="first")
    monkeypatch.setattr(writing, "TRIES", 2)

    def edit(resource):
        other = {"data": {"a": resource["data"]["a"] + "1"}}
        patch(api, CONFIG_MAP, "m", other, namespace=namespace, manager="x")
        return {"data": {"mine": "1"}}

    with pytest.raises(Conflict, match=f"ConfigMap {namespace}/m: others kept changing it, 2"):
        patched(api, CONFIG_MAP, "m", edit, namespace=namespace, manager="first")


def test_lists_are_whole_whatever_the_page(cluster, namespace, monkeypatch):
    api = cluster.client()
    monkeypatch.setattr(writing, "_PAGE", 2)
    for number in range(5):
        create(api, config_map(f"m{number}"), namespace=namespace, manager="first")
    found, _ = listed(api, CONFIG_MAP, namespace=namespace)
    names = {each["metadata"]["name"] for each in found}
    assert {f"m{number}" for number in range(5)} <= names
    assert {each["kind"] for each in found} == {"ConfigMap"}


def test_a_watch_tells_what_changes_from_where_the_list_ended(cluster, namespace):
    api = cluster.client()
    create(api, config_map("before"), namespace=namespace, manager="first")
    _, version = listed(api, CONFIG_MAP, namespace=namespace)
    create(api, config_map(a="1"), namespace=namespace, manager="first")
    patch(api, CONFIG_MAP, "m", {"data": {"a": "2"}}, namespace=namespace, manager="first")
    assert delete(api, CONFIG_MAP, "m", namespace=namespace)
    assert not delete(api, CONFIG_MAP, "m", namespace=namespace)
    seen = [
        (kind, resource["metadata"]["name"], resource["data"]["a"])
        for kind, resource in events(api, CONFIG_MAP, namespace=namespace, since=version, seconds=1)
        if kind != BOOKMARK and resource["metadata"]["name"] != "kube-root-ca.crt"
    ]
    assert seen == [("ADDED", "m", "1"), ("MODIFIED", "m", "2"), ("DELETED", "m", "2")]


def test_a_watch_from_long_ago_says_that_it_is_gone(cluster, namespace):
    cluster.install_crds()
    with pytest.raises(Gone, match=f"watching experiments of {namespace}: too old"):
        list(events(cluster.client(), EXPERIMENT, namespace=namespace, since="1", seconds=5))


def test_a_refusal_names_the_resource_and_the_servers_reason(cluster, namespace):
    cluster.install_crds()
    manifest = {
        "apiVersion": EXPERIMENT.api_version,
        "kind": "Experiment",
        "metadata": {"name": "wrong"},
        "spec": {"service": "cook", "salt": "s", "control": "a", "variants": []},
    }
    with pytest.raises(ClusterError) as refused:
        create(cluster.client(), manifest, namespace=namespace, manager="first")
    assert str(refused.value).startswith(f"Experiment {namespace}/wrong: ")
    assert "spec.service" in str(refused.value)


def test_a_mounted_account_may_do_what_its_role_says_and_no_more(
    cluster, namespace, tmp_path, monkeypatch
):
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create"]}]
    make_account(cluster, namespace, "reader", rules)
    folder = mount_account(cluster, namespace, "reader", tmp_path / "account", monkeypatch)
    assert own_namespace(folder) == namespace
    api = connect(folder)
    create(api, config_map(), namespace=namespace, manager="first")
    with pytest.raises(Forbidden, match=f"ConfigMap {namespace}/m: .*cannot delete"):
        delete(api, CONFIG_MAP, "m", namespace=namespace)
