"""Who may talk to whom, by NetworkPolicies, as the API's reference defines them.

A connection is allowed when the policies of the one who connects let it out, and those of the other
let it in; a pod that no policy of that direction selects is free in it.
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

Labels = Mapping[str, str]


class End(NamedTuple):
    """One end of a connection.

    Attributes:
        name: for people.
        namespace: of the pod; "" for an address outside the cluster.
        labels: of the pod.
        ports: names of its ports, to their numbers.
        address: of an end outside the cluster.
    """

    name: str
    namespace: str = ""
    labels: Labels = {}
    ports: Mapping[str, int] = {}
    address: str = ""


class Network:
    """The policies of a cluster."""

    def __init__(self, policies: Iterable[Mapping[str, Any]], namespaces: Mapping[str, Labels]):
        """Take them.

        Args:
            policies: NetworkPolicies.
            namespaces: labels of each.
        """
        self._policies = list(policies)
        self._namespaces = namespaces

    def allows(self, source: End, target: End, port: int, protocol: str = "TCP") -> bool:
        """Say whether one may open a connection to another's port."""
        return self._lets("Egress", source, target, target, port, protocol) and self._lets(
            "Ingress", target, source, target, port, protocol
        )

    def _lets(
        self, direction: str, held: End, other: End, target: End, port: int, protocol: str
    ) -> bool:
        """Say whether the policies of an end let a connection with another one be."""
        rules: list[Mapping[str, Any]] = []
        bound = False
        for policy in self._policies if held.namespace else ():
            spec = policy["spec"]
            if direction not in _directions(spec) or not self._selects(policy, held):
                continue
            bound = True
            rules += spec.get(direction.lower()) or []
        peers = "from" if direction == "Ingress" else "to"
        return not bound or any(
            _has_port(rule.get("ports"), target, port, protocol)
            and self._has_peer(rule.get(peers), other, held.namespace)
            for rule in rules
        )

    def _selects(self, policy: Mapping[str, Any], pod: End) -> bool:
        return policy["metadata"]["namespace"] == pod.namespace and matches(
            policy["spec"]["podSelector"], pod.labels
        )

    def _has_peer(self, peers: Sequence[Mapping[str, Any]] | None, end: End, home: str) -> bool:
        return not peers or any(self._is_peer(peer, end, home) for peer in peers)

    def _is_peer(self, peer: Mapping[str, Any], end: End, home: str) -> bool:
        if "ipBlock" in peer:
            if end.namespace:  # blocks are of addresses outside the cluster
                return False
            block, address = peer["ipBlock"], ip_address(end.address)
            return address in ip_network(block["cidr"]) and not any(
                address in ip_network(each) for each in block.get("except", ())
            )
        if not end.namespace:
            return False
        if "namespaceSelector" in peer:
            if not matches(peer["namespaceSelector"], self._namespaces[end.namespace]):
                return False
        elif end.namespace != home:
            return False
        return matches(peer.get("podSelector", {}), end.labels)


def matches(selector: Mapping[str, Any], labels: Labels) -> bool:
    """Say whether a label selector chooses something of these labels."""
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(name) == value for name, value in wanted.items()) and all(
        _holds(each, labels) for each in selector.get("matchExpressions") or ()
    )


def _holds(expression: Mapping[str, Any], labels: Labels) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values", ())
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[expression["operator"]]


def _directions(spec: Mapping[str, Any]) -> Sequence[str]:
    implied = ["Ingress", "Egress"] if "egress" in spec else ["Ingress"]
    return spec.get("policyTypes", implied)


def _has_port(
    ports: Sequence[Mapping[str, Any]] | None, target: End, port: int, protocol: str
) -> bool:
    if not ports:
        return True
    for each in ports:
        if each.get("protocol", "TCP") != protocol:
            continue
        first = each.get("port", port)
        if isinstance(first, str):
            first = target.ports.get(first, -1)
        if first <= port <= each.get("endPort", first):
            return True
    return False
