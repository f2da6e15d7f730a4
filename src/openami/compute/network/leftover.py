"""What a host still has in our name after a crash, told as the commands that would remove it."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network
from typing import Any, Final

from openami.compute.network import namespace, routes, shell
from openami.compute.network.plan import TAP_PREFIX, VETH_PREFIX, VpcPlan, veth_name
from openami.domain.ids import is_id

_CHAIN: Final = f"to_{TAP_PREFIX}"


def found(served: Mapping[str, VpcPlan], addresses: set[str]) -> tuple[str, ...]:
    """Commands for all that belongs to no served tap (`served`: tap to VPC) and no address.

    The unreachable route of a VPC without machines is among it: it stays on purpose until
    the VPC is removed, because a client of a machine that is gone may still be trying.
    """
    vpcs = {plan.vpc_id: plan for plan in served.values()}
    veths = {plan.veth for plan in vpcs.values()}
    commands: list[str] = []
    for name in namespace.names():
        if is_id("vpc", name):
            taps = {tap for tap, plan in served.items() if plan.vpc_id == name}
            commands += _in_namespace(name, taps, name in vpcs)
    for name in sorted(namespace.interfaces()):
        if name.startswith(VETH_PREFIX) and name not in veths:
            commands.append(f"ip link delete {name}")
    commands += [
        f"nft delete table inet {table}"
        for table in _names("tables", "table")
        if table.startswith(VETH_PREFIX) and table not in veths
    ]
    ranges = {plan.cidr for plan in vpcs.values()}
    for route in routes.ours():
        block = IPv4Network(str(route["dst"]))
        if block not in ranges and str(block.network_address) not in addresses:
            kind = "unreachable " if route.get("type") == "unreachable" else ""
            device = f" dev {route['dev']}" if "dev" in route and not kind else ""
            commands.append(f"ip route delete {kind}{block}{device}")
    return tuple(commands)


def of_vpcs(
    known: Iterable[VpcPlan], served: Mapping[str, VpcPlan], addresses: set[str]
) -> tuple[str, ...]:
    """The same of these VPCs alone: for a host that has another openami on it.

    Their unreachable routes stay on purpose. Raises MachineFailed.
    """
    commands: list[str] = []
    there = set(namespace.names())
    links = namespace.interfaces()
    tables = set(_names("tables", "table"))
    wanted = {plan.vpc_id for plan in served.values()}
    plans = {plan.veth: plan for plan in known}
    for veth, plan in plans.items():
        if plan.namespace in there:
            taps = {tap for tap, its in served.items() if its.vpc_id == plan.vpc_id}
            commands += _in_namespace(plan.namespace, taps, plan.vpc_id in wanted)
        if plan.vpc_id in wanted:
            continue
        commands += [f"ip link delete {veth}"] if veth in links else []
        commands += [f"nft delete table inet {veth}"] if veth in tables else []
    commands += [
        f"ip route delete {route['dst']} dev {route['dev']}"
        for route in routes.ours()
        if route.get("dev") in plans and str(route["dst"]).partition("/")[0] not in addresses
    ]
    return tuple(commands)


def _in_namespace(name: str, served: set[str], wanted: bool) -> list[str]:
    there = namespace.inside(name, namespace.interfaces)
    taps = {tap for tap in there if tap.startswith(TAP_PREFIX)}
    if not wanted and not taps:
        return [f"ip netns delete {name}"]
    chains = namespace.inside(name, lambda: _names("chains", "chain"))
    stale = (
        {chain.removeprefix("to_") for chain in chains if chain.startswith(_CHAIN)} - taps - served
    )
    orphans = [
        f"kill the process that holds {tap} in {name} (on the host: {veth_name(name)})"
        for tap in sorted(taps - served)
    ]
    return orphans + [
        f"ip netns exec {name} nft flush chain inet openami to_{tap}" for tap in sorted(stale)
    ]


def _names(plural: str, kind: str) -> list[str]:
    told: dict[str, Any] = shell.nft_json("list", plural)
    return [str(entry[kind]["name"]) for entry in told.get("nftables", []) if kind in entry]
