"""The host's routes into a VPC, and the check that a VPC's range is the host's to give.

The unreachable route comes before anything else of a VPC: a packet for a guest that is gone
must not follow the host's default route out of the machine. It stays when the VPC's last
guest leaves, because a client may still be trying.
"""

from ipaddress import IPv4Network
from typing import Any, Final

from openami.compute.driver import MachineFailed
from openami.compute.network import shell
from openami.compute.network.plan import ROUTE_PROTOCOL, VETH_PREFIX, VpcPlan

_LAST_RESORT_METRIC: Final = 4_000_000_000


def guard(plan: VpcPlan) -> None:
    """Make the VPC's range unreachable but by our routes. Raises MachineFailed if it is taken."""
    claim(plan, shell.ip_json("route", "show", "table", "all"))
    shell.run("ip", *_unreachable("replace", plan.cidr).split())


def rivals(plan: VpcPlan) -> set[str]:
    """The host's ends of other VPCs, ours or of another openami, in the plan's range."""
    found = {
        str(route.get("dev", ""))
        for route in shell.ip_json("route", "show", "table", "all")
        if (block := _block(str(route.get("dst", "")))) and block.overlaps(plan.cidr)
    }
    return {device for device in found if device.startswith(VETH_PREFIX)} - {plan.veth}


def claim(plan: VpcPlan, routes: list[dict[str, Any]]) -> None:
    """Raises MachineFailed if one of the host's routes (as `ip -json` tells them) is in the way.

    The host's own addresses are among them, in the table `local`.
    """
    for route in routes:
        block = _block(str(route.get("dst", "")))
        if block is None or not block.overlaps(plan.cidr):
            continue
        device = str(route.get("dev", ""))
        ours = str(route.get("protocol")) == str(ROUTE_PROTOCOL)
        if device == plan.veth or (ours and not device) or route.get("type") == "unreachable":
            continue
        is_vpc = ours or device.startswith(VETH_PREFIX)
        holder = "another VPC of openami" if is_vpc else "the host"
        raise MachineFailed(
            f"the range {plan.cidr} of {plan.vpc_id} overlaps {block}, which is a route or an"
            f" address of {holder} (on {device or 'no interface'}): set vpc_pool to a range"
            " that nothing else on this machine uses"
        )


def add_guest(plan: VpcPlan, address: str) -> None:
    shell.run("ip", *guest_route("replace", plan, address).split())


def guest_route(verb: str, plan: VpcPlan, address: str) -> str:
    return (
        f"route {verb} {address}/32 via {plan.resolver} dev {plan.veth} onlink"
        f" src {plan.host} proto {ROUTE_PROTOCOL}"
    )


def release(vpc_cidr: str) -> None:
    """Take the unreachable route away; it may be gone already."""
    shell.ip_batch(_unreachable("del", IPv4Network(vpc_cidr)), force=True)


def ours() -> list[dict[str, Any]]:
    return shell.ip_json("route", "show", "table", "all", "proto", str(ROUTE_PROTOCOL))


def _unreachable(verb: str, cidr: IPv4Network) -> str:
    return f"route {verb} unreachable {cidr} metric {_LAST_RESORT_METRIC} proto {ROUTE_PROTOCOL}"


def _block(destination: str) -> IPv4Network | None:
    """None for IPv6 and for what stands for "everywhere": a default route, or its two halves."""
    if ":" in destination or destination in ("default", ""):
        return None
    block = IPv4Network(destination, strict=False)
    return block if block.prefixlen > 1 else None
