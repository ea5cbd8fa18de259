"""Each service account may do what rights.yaml lists for it, and is refused the rest."""

import base64
import json
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.cluster.access import CommandError

pytestmark = pytest.mark.cluster

RIGHTS = yaml.safe_load(Path(__file__).with_name("rights.yaml").read_text())
ACCOUNTS = sorted(set(RIGHTS) - {"everyone"})
RELEASE = "intent-store"
CHART = Path(__file__).resolve().parents[2] / "helm/intent-store"
EVERYTHING = {
    "nearline": {"enabled": True, "brokers": "kafka:9092", "topic": "actions"},
    "storage": {
        "registry": "gs://bucket/registry",
        "exposures": "gs://bucket/exposures",
    },
}
"""Values with which the chart makes all of its accounts."""
RUN_ACCOUNTS = {"registrar", "launcher", "trainer", "spark"}
"""Accounts that live where pipelines run."""
# What Kubernetes grants everybody who is known, so that he can ask what he may do.
PUBLIC_GROUPS = {"authorization.k8s.io"}


class Right(NamedTuple):
    """A verb on a resource, with its group: `get experiments.intent-store.dev/status`."""

    verb: str
    resource: str


class Place(NamedTuple):
    """A release whose accounts exist on the cluster."""

    release: str
    runs: str

    def of(self, account):
        """Where an account lives, and where it may do something."""
        lives = self.runs if account in RUN_ACCOUNTS else self.release
        acts = self.runs if RIGHTS[account].get("where") == "runs" else self.release
        return lives, acts


@pytest.fixture(scope="module", params=["together", "apart"])
def place(cluster, request):
    """The chart's accounts and their rights, with pipelines beside the release or elsewhere."""
    cluster.install_crds()
    release = cluster.make_namespace()
    runs = release if request.param == "together" else cluster.make_namespace()
    objects = [
        each
        for each in rendered(cluster, release, runs)
        if each["kind"] in ("ServiceAccount", "Role", "RoleBinding")
        or each.get("type") == "kubernetes.io/service-account-token"
    ]
    cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(objects))
    yield Place(release, runs)
    cluster.kubectl("delete", "namespace", *{release, runs}, "--wait=false")


def test_the_table_names_every_account_and_every_rule_of_the_chart(cluster):
    objects = rendered(cluster, RELEASE, RELEASE)
    accounts = {own_name(each) for each in objects if each["kind"] == "ServiceAccount"}
    assert accounts == set(ACCOUNTS)
    roles = {own_name(each): each["rules"] for each in objects if each["kind"] == "Role"}
    assert {name: of_rules(rules) for name, rules in roles.items()} == {
        account: of_table(account, "may") for account in ACCOUNTS if RIGHTS[account].get("may")
    }
    assert not [each for each in objects if each["kind"].startswith("ClusterRole")]


@pytest.mark.parametrize("account", ACCOUNTS)
def test_an_account_may_do_what_the_table_lists(cluster, place, account):
    lives, acts = place.of(account)
    wanted = of_table(account, "may")
    assert {right for right in wanted if allowed(cluster, lives, account, right, acts)} == wanted


@pytest.mark.parametrize("account", ACCOUNTS)
def test_an_account_is_refused_what_the_table_lists(cluster, place, account):
    lives, acts = place.of(account)
    refused = of_table(account, "may not") | (
        of_table("everyone", "may not") - of_table(account, "may")
    )
    assert not refused & of_table(account, "may")
    assert [each for each in refused if allowed(cluster, lives, account, each, acts)] == []


@pytest.mark.parametrize("account", ACCOUNTS)
def test_what_the_table_lists_is_all_that_an_account_may_do(cluster, place, account):
    lives, acts = place.of(account)
    user = f"system:serviceaccount:{lives}:{RELEASE}-{account}"
    for where in {place.release, place.runs, "default"}:
        expected = of_table(account, "may") if where == acts else set()
        assert rules_of(cluster, user, where) == expected


def test_the_registrars_mounted_token_registers_and_cannot_delete(cluster, place):
    token = token_of(cluster, place.runs, "registrar")
    experiment = {
        "apiVersion": "intent-store.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": "ranker"},
        "spec": {
            "service": "ranker",
            "salt": "ranker-1",
            "control": "first",
            "variants": [{"name": "first", "inferenceService": "ranker-first"}],
        },
    }
    as_registrar = (f"--token={token}", "-n", place.release)
    cluster.kubectl(*as_registrar, "create", "-f", "-", input=json.dumps(experiment))
    with pytest.raises(CommandError, match='cannot delete resource "experiments"'):
        cluster.kubectl(*as_registrar, "delete", "experiment", "ranker")
    with pytest.raises(CommandError, match='cannot get resource "secrets"'):
        cluster.kubectl(*as_registrar, "get", "secret", f"{RELEASE}-launcher-token")


def test_the_launchers_mounted_token_reads_logs_and_cannot_touch_pods(own_cluster, place):
    own_cluster.kubectl("-n", place.runs, "create", "job", "done", "--image=done")
    own_cluster.kubectl("-n", place.runs, "wait", "--for=condition=complete", "job/done")
    token = token_of(own_cluster, place.runs, "launcher")
    as_launcher = (f"--token={token}", "-n", place.runs)
    [pod] = own_cluster.get(*as_launcher, "pods", "-l", "job-name=done")["items"]
    name = pod["metadata"]["name"]
    log = f"/api/v1/namespaces/{place.runs}/pods/{name}/log"
    assert "says nothing" in own_cluster.kubectl(f"--token={token}", "get", "--raw", log)
    with pytest.raises(CommandError, match='cannot delete resource "pods"'):
        own_cluster.kubectl(*as_launcher, "delete", "pod", name)


def rendered(cluster, release, runs):
    """What the chart makes with all that has an account switched on."""
    values = EVERYTHING | {"pipelines": {"namespace": "" if runs == release else runs}}
    shown = cluster.helm(
        *("template", RELEASE, str(CHART), "--namespace", release),
        *("--set-json", f"nearline={json.dumps(values['nearline'])}"),
        *("--set-json", f"storage={json.dumps(values['storage'])}"),
        f"--set=pipelines.namespace={values['pipelines']['namespace']}",
    )
    return [each for each in yaml.safe_load_all(shown) if each]


def own_name(manifest):
    return manifest["metadata"]["name"].removeprefix(f"{RELEASE}-")


def of_table(account, list_name):
    return {
        Right(verb, resource)
        for resource, verbs in RIGHTS[account].get(list_name, {}).items()
        for verb in verbs.split()
    }


def of_rules(rules):
    """Write the rules of a Role, or of a review, as the table writes them."""
    return {
        Right(verb, with_group(resource, group))
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def with_group(resource, group):
    plural, slash, part = resource.partition("/")
    return f"{plural}{'.' + group if group else ''}{slash}{part}"


def allowed(cluster, lives, account, right, where):
    """Ask the API server whether it would let an account do something."""
    name, _, part = right.resource.partition("/")
    plural, _, group = name.partition(".")
    answer = ask(
        cluster,
        "subjectaccessreviews",
        {
            "user": f"system:serviceaccount:{lives}:{RELEASE}-{account}",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": {
                "namespace": where,
                "verb": right.verb,
                "group": group,
                "resource": plural,
                "subresource": part,
            },
        },
    )
    return answer["allowed"]


def rules_of(cluster, user, where):
    """Ask the API server, as a user, for all that he may do in a namespace."""
    as_user = {"Impersonate-User": user, "Impersonate-Group": "system:authenticated"}
    status = ask(cluster, "selfsubjectrulesreviews", {"namespace": where}, as_user)
    assert not status["incomplete"]
    own = [
        rule
        for rule in status["resourceRules"]
        if not PUBLIC_GROUPS.issuperset(rule.get("apiGroups", []))
    ]
    return of_rules(own)


def ask(cluster, review, spec, headers=None):
    """Create a review, and return what the API server answers."""
    answer, _, _ = cluster.client().call_api(
        f"/apis/authorization.k8s.io/v1/{review}",
        "POST",
        header_params=dict(headers or {}),
        body={"spec": spec},
        auth_settings=["BearerToken"],
        response_type="object",
    )
    return answer["status"]


def token_of(cluster, namespace, account):
    """The token that the chart mounts into the pipelines' steps."""
    secret = ("-n", namespace, "secret", f"{RELEASE}-{account}-token")
    data = cluster.wait_for(lambda: cluster.get(*secret).get("data", {}).get("token"))
    return base64.b64decode(data).decode()
