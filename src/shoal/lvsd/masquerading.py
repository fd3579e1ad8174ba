"""Masquerading: real servers behind the gateway reach the public side under the router's own address. Pure.

The rules are objects of libnftables' JSON (libnftables-json(5)), written the way the kernel's are listed, so that both
can be compared. Balanced connections never come here: their packets are redirected before netfilter sees them.
"""

from collections.abc import Iterator
from typing import Any

from shoal.model import Cluster

FAMILY, TABLE, CHAIN = "inet", "shoal", "outbound"
_PUBLIC = "public"
_SOURCE_NAT = 100  # NF_IP_PRI_NAT_SRC, include/uapi/linux/netfilter_ipv4.h


def rules(cluster: Cluster, *, router: str) -> tuple[dict[str, Any], ...]:
    """The chain and the rules in our table; nothing where no path masquerades."""
    found = tuple(_rules(cluster, router))
    return (_CHAIN_OBJECT, *found) if found else ()


_CHAIN_OBJECT = {
    "chain": {
        "family": FAMILY,
        "table": TABLE,
        "name": CHAIN,
        "type": "nat",
        "hook": "postrouting",
        "prio": _SOURCE_NAT,
        "policy": "accept",
    }
}


def _rules(cluster: Cluster, router: str) -> Iterator[dict[str, Any]]:
    public = cluster.path(_PUBLIC)
    assert public is not None, "a cluster without a public path passes no check"
    masqueraded = {path.name for path in cluster.paths if path.masquerade}
    for floating in (each for group in cluster.groups for each in group.addresses):
        if floating.path in masqueraded:
            network = floating.address.network
            source = {"addr": str(network.network_address), "len": network.prefixlen}
            expression = [
                _equals({"meta": {"key": "oifname"}}, public.interface),
                _equals(
                    {"payload": {"protocol": _ip(network.version), "field": "saddr"}}, {"prefix": source}
                ),
                _translation(cluster, router, version=network.version),
            ]
            comment = f"{floating.path}: real servers to the public side"
            rule = {"family": FAMILY, "table": TABLE, "chain": CHAIN, "comment": comment, "expr": expression}
            yield {"rule": rule}


def _translation(cluster: Cluster, router: str, *, version: int) -> dict[str, Any]:
    """To the router's fixed public address, which no take-over moves; where it has none, to the kernel's choice."""
    ours = cluster.router(router)
    fixed = ours.address_on(_PUBLIC) if ours is not None else None
    if fixed is not None and fixed.version == version:
        return {"snat": {"family": _ip(version), "addr": str(fixed)}}
    return {"masquerade": None}


def _ip(version: int) -> str:
    return "ip" if version == 4 else "ip6"


def _equals(left: dict[str, Any], right: object) -> dict[str, Any]:
    return {"match": {"op": "==", "left": left, "right": right}}
