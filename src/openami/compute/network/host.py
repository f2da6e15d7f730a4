"""The network of this host: the outside of everything else in this package.

Plugging a port costs three short programs (ip in the namespace, nft, ip on the host); the
first port of a VPC also makes its namespace. Nothing is recorded: names say what belongs to
whom, and every step may be repeated.
"""

import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from openami.compute.driver import MachineFailed, Port
from openami.compute.network import firewall, leftover, namespace, routes, service, shell
from openami.compute.network.plan import (
    METADATA_ADDRESS,
    NOWHERE,
    ROUTER_MAC,
    TAP_PREFIX,
    UPLINK,
    VpcPlan,
    gateway,
    planned,
    tap_name,
    veth_name,
)
from openami.compute.network.relay import Relays
from openami.domain.ids import InstanceId, VpcId, is_id
from openami.settings import Settings

ServeMetadata = Callable[[InstanceId, socket.socket], Callable[[], None]]
"""Serves one instance's metadata on a listening socket; what it returns stops that."""

_METADATA_BACKLOG: Final = 64
_log = logging.getLogger(__name__)

# rp_filter also keeps a guest's ARP honest; a rate limit on ICMP errors would let guests wait.
_NAMESPACE_SETTINGS: Final = {
    "ipv4/ip_forward": "1",
    "ipv4/icmp_ratelimit": "0",
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
    **{
        f"ipv4/conf/{which}/{name}": value
        for which in ("all", "default")
        for name, value in (
            ("rp_filter", "1"),
            ("arp_announce", "2"),
            ("accept_redirects", "0"),
            ("send_redirects", "0"),
            ("accept_source_route", "0"),
        )
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plugged:
    port: Port
    plan: VpcPlan
    stop_metadata: Callable[[], None] = lambda: None  # of one that is not served yet


class HostNetwork:
    """Implements openami.compute.driver.Network with namespaces, routed taps and nftables.

    `serve_metadata` is handed one listening socket per instance (169.254.169.254:80, bound to
    its tap) and owns it until its closer is called.
    """

    def __init__(self, settings: Settings, serve_metadata: ServeMetadata) -> None:
        self._settings = settings
        self._serve_metadata = serve_metadata
        self._plugged: dict[InstanceId, _Plugged] = {}
        self._made: set[VpcId] = set()
        self._lock = threading.RLock()
        self._guests = service.GuestService()
        self._relays = Relays()

    def plug(self, port: Port) -> int:
        """See Network.plug. Raises MachineFailed, and then leaves nothing of the port."""
        plan = self._ready(port)
        with self._lock:
            self._let_go(port.instance_id)
            try:
                tap = namespace.inside(
                    plan.namespace, lambda: namespace.open_tap(tap_name(port.number))
                )
            except MachineFailed:
                self._clear(port, plan)
                raise
            self._plugged[port.instance_id] = _Plugged(port=port, plan=plan)
            return tap

    def serve(self, port: Port) -> None:
        """See Network.serve. A port that is not plugged is left alone. Raises MachineFailed."""
        with self._lock:
            plugged = self._plugged.get(port.instance_id)
            if plugged is not None:
                self._let_go(port.instance_id)
                self._plugged[port.instance_id] = plugged
                self._serve(port, plugged.plan, leased=False)

    def adopt(self, port: Port) -> None:
        """See Network.adopt. Raises MachineFailed if the port has no tap: nothing runs on it."""
        name = planned(port).namespace
        tap = tap_name(port.number)
        if not namespace.exists(name) or tap not in namespace.inside(name, namespace.interfaces):
            raise MachineFailed(f"{port.instance_id} has no tap {tap} in {name}")
        plan = self._ready(port)
        with self._lock:
            self._let_go(port.instance_id)
            self._plugged[port.instance_id] = _Plugged(port=port, plan=plan)
            self._serve(port, plan, leased=True)

    def update(self, port: Port) -> None:
        """See Network.update. A port that is not served is left alone. Raises MachineFailed."""
        plan = planned(port)
        with self._lock:
            plugged = self._plugged.get(port.instance_id)
            if plugged is None:
                return
            namespace.inside(plan.namespace, lambda: shell.nft(firewall.port_rules(port, plan)))
            self._relays.serve(port)
            self._plugged[port.instance_id] = _Plugged(
                port=port, plan=plan, stop_metadata=plugged.stop_metadata
            )

    def unplug(self, instance_id: InstanceId) -> None:
        """See Network.unplug. The last port of a VPC takes the VPC's namespace with it."""
        with self._lock:
            plugged = self._let_go(instance_id)
            if plugged is not None:
                self._clear(plugged.port, plugged.plan)

    def clear(self, port: Port) -> None:
        """See Network.clear."""
        plan = planned(port)
        with self._lock:
            self._let_go(port.instance_id)
            if namespace.exists(plan.namespace):
                self._clear(port, plan)

    def reachable(self, instance_id: InstanceId) -> bool:
        """Whether the guest took its address since it was plugged or reset, and answers ARP.

        An adopted guest has its address already and only needs to answer.
        """
        return self._guests.reachable(instance_id)

    def restarted(self, instance_id: InstanceId) -> None:
        self._guests.restarted(instance_id)

    def remove_vpc(self, vpc_id: VpcId, vpc_cidr: str) -> None:
        """Remove everything of a VPC without guests, its unreachable route, too.

        Raises MachineFailed if a port of it is plugged or a tap of it is still there.
        """
        with self._lock:
            if any(plugged.plan.vpc_id == vpc_id for plugged in self._plugged.values()):
                raise MachineFailed(f"{vpc_id} still has machines")
            if not self._remove_namespace(vpc_id):
                raise MachineFailed(f"{vpc_id} still has a tap")
            routes.release(vpc_cidr)

    def leftovers(self) -> tuple[str, ...]:
        """What is on this host in our name without a port that this process serves.

        Commands that would remove it, for `openami doctor`. Another openami on the same host
        is left over too, in the eyes of this one.
        """
        with self._lock:
            plugged = list(self._plugged.values())
        taps = {tap_name(one.port.number): one.plan for one in plugged}
        return leftover.found(taps, {one.port.private_ip for one in plugged})

    def close(self) -> None:
        with self._lock:
            for instance_id in list(self._plugged):
                self._let_go(instance_id)
            self._guests.close()
            self._relays.close()

    def _ready(self, port: Port) -> VpcPlan:
        """The port's VPC, made on this host if it is the first of this process to need it."""
        shell.require_root()
        plan = planned(port)
        with self._lock:
            if plan.vpc_id not in self._made or not namespace.exists(plan.namespace):
                self._clear_abandoned(plan)
                try:
                    _make_vpc(plan, self._settings)
                except MachineFailed:
                    self._remove_namespace(plan.vpc_id)
                    raise
                self._made.add(plan.vpc_id)
        return plan

    def _clear_abandoned(self, plan: VpcPlan) -> None:
        """Remove a VPC that a crash left in this range, if no machine runs in it any more."""
        rivals = routes.rivals(plan)
        for name in namespace.names() if rivals else []:
            abandoned = is_id("vpc", name) and name not in self._made and veth_name(name) in rivals
            if abandoned and self._remove_namespace(VpcId(name)):
                _log.warning("%s was left over from a crash and is removed", name)

    def _serve(self, port: Port, plan: VpcPlan, *, leased: bool) -> None:
        sockets, metadata = namespace.inside(plan.namespace, partial(_bring_up, port, plan))
        stop_metadata = self._serve_metadata(port.instance_id, metadata)
        self._guests.add(port, sockets, leased=leased)
        self._plugged[port.instance_id] = _Plugged(
            port=port, plan=plan, stop_metadata=stop_metadata
        )
        routes.add_guest(plan, port.private_ip)
        self._relays.serve(port)

    def _let_go(self, instance_id: InstanceId) -> _Plugged | None:
        """Close the sockets of a port; rules, routes and tap stay as they are."""
        plugged = self._plugged.pop(instance_id, None)
        if plugged is not None:
            self._relays.remove(instance_id)
            self._guests.remove(instance_id)
            plugged.stop_metadata()
        return plugged

    def _clear(self, port: Port, plan: VpcPlan) -> None:
        """Remove a port's route and rules, and its VPC's namespace if nobody is left in it."""
        shell.ip_batch(routes.guest_route("del", plan, port.private_ip), force=True)
        used = any(other.plan.vpc_id == plan.vpc_id for other in self._plugged.values())
        if used or not self._remove_namespace(plan.vpc_id):
            self._clear_rules(port, plan)

    def _clear_rules(self, port: Port, plan: VpcPlan) -> None:
        tap = tap_name(port.number)
        namespace.inside(plan.namespace, lambda: shell.nft(firewall.no_port_rules(tap)))

    def _remove_namespace(self, vpc_id: VpcId) -> bool:
        """False if a tap is in it: a machine that nobody told us of still runs."""
        self._made.discard(vpc_id)
        if namespace.exists(vpc_id):
            there = namespace.inside(vpc_id, namespace.interfaces)
            if any(name.startswith(TAP_PREFIX) for name in there):
                return False
        shell.ip_batch(f"link del {veth_name(vpc_id)}", force=True)
        shell.nft(firewall.no_host_rules(veth_name(vpc_id)))
        namespace.remove(vpc_id)
        return True


def _make_vpc(plan: VpcPlan, settings: Settings) -> None:
    """The unreachable route first, then the host's rules, then the way in."""
    routes.guard(plan)
    shell.nft(firewall.host_rules(plan, settings.vpc_pool, settings.egress))
    namespace.create(plan.namespace)
    namespace.inside(plan.namespace, lambda: _furnish(plan, settings))
    if plan.veth not in namespace.interfaces():
        shell.run(
            *f"ip link add {plan.veth} type veth peer name {UPLINK} netns {plan.namespace}".split()
        )
    namespace.write_settings({f"ipv6/conf/{plan.veth}/disable_ipv6": "1"})
    shell.ip_batch(f"addr replace {plan.host}/32 dev {plan.veth}", f"link set {plan.veth} up")
    way_out = f"via {plan.host} dev {UPLINK} onlink" if settings.egress == "nat" else ""
    namespace.inside(
        plan.namespace,
        lambda: shell.ip_batch(
            f"addr replace {plan.resolver}/32 dev {UPLINK}",
            f"link set {UPLINK} up",
            f"route replace {plan.host}/32 dev {UPLINK}",
            *([f"route replace default {way_out}"] if way_out else []),
        ),
    )
    if settings.egress == "nat":
        namespace.write_settings({"ipv4/ip_forward": "1"})


def _furnish(plan: VpcPlan, settings: Settings) -> None:
    """A new namespace forwards nothing until its rules are in place."""
    shell.nft(firewall.vpc_rules(plan, settings.vpc_pool, settings.egress))
    if NOWHERE not in namespace.interfaces():
        shell.run(*f"ip link add {NOWHERE} type veth peer name nobody".split())
    shell.ip_batch(
        "link set lo up",
        f"link set {NOWHERE} up",
        f"addr replace {METADATA_ADDRESS}/32 dev lo",
        # What has no other route goes here, so that the firewall refuses it. The kernel's own
        # refusal of an unreachable route is told five times, then once a second.
        f"route replace default dev {NOWHERE} metric 4000000000",
        "route replace prohibit default metric 4100000000",
        f"route replace 169.254.0.0/16 dev {NOWHERE}",
    )
    namespace.write_settings(_NAMESPACE_SETTINGS)


def _bring_up(port: Port, plan: VpcPlan) -> tuple[service.Sockets, socket.socket]:
    """In the namespace: the tap's rules, before any packet can pass; then the tap, with what
    listens on it. One that is up already stays as it is."""
    name = tap_name(port.number)
    shell.nft(firewall.port_rules(port, plan))
    namespace.write_settings(
        {f"ipv4/conf/{name}/proxy_arp": "1", f"ipv4/neigh/{name}/proxy_delay": "0"}
    )
    shell.ip_batch(
        f"link set {name} address {ROUTER_MAC}",
        f"addr replace {gateway(port)}/32 dev {name}",
        f"link set {name} up",
        f"route replace {port.private_ip}/32 dev {name}",
    )
    return _open_sockets(name)


def _open_sockets(tap: str) -> tuple[service.Sockets, socket.socket]:
    metadata = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        metadata.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, tap.encode())
        metadata.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        metadata.bind((METADATA_ADDRESS, 80))
        metadata.listen(_METADATA_BACKLOG)
        return service.open_sockets(tap), metadata
    except OSError as wrong:
        metadata.close()
        raise MachineFailed(f"no sockets on {tap}: {wrong}") from wrong
