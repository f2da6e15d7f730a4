"""One thread that answers the guests of this host: DHCP, DNS, and who is there (ARP).

Every socket is bound to one tap (SO_BINDTODEVICE), so the tap says who asks and no packet can
claim otherwise. A guest can send at any speed: each wake-up takes a bounded number of its
packets, so it slows down nobody but itself.
"""

import logging
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from openami.compute.driver import Port
from openami.compute.network import dhcp, dns
from openami.compute.network.plan import ROUTER_MAC, gateway, planned, tap_name
from openami.domain.ids import InstanceId

_PACKETS_AT_ONCE: Final = 32
_PROBE_EVERY_S: Final = 0.25
_PACKET_BYTES_MAX: Final = 2048
_ETH_P_ARP: Final = 0x0806
_ARP_OVER_ETHERNET: Final = struct.pack(">HHBB", 1, 0x0800, 6, 4)
_IP_PKTINFO: Final = 8  # linux/in.h; the socket module does not name it before Python 3.12
_IN_PKTINFO: Final = struct.Struct("=i4s4s")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """A port's sockets, opened in its namespace and bound to its tap."""

    dhcp: socket.socket
    dns: socket.socket
    arp: socket.socket

    def all(self) -> tuple[socket.socket, ...]:
        return self.dhcp, self.dns, self.arp


def open_sockets(tap: str) -> Sockets:
    """The sockets of a tap in the calling thread's namespace. Raises OSError."""
    opened: list[socket.socket] = []

    def udp(port: int) -> socket.socket:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.append(one)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, tap.encode())
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        one.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        one.setblocking(False)
        one.bind(("", port))
        return one

    try:
        arp = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        opened.append(arp)
        arp.setblocking(False)
        arp.bind((tap, _ETH_P_ARP))
        return Sockets(dhcp=udp(67), dns=udp(53), arp=arp)
    except OSError:
        for one in opened:
            one.close()
        raise


@dataclass(slots=True)
class _Guest:
    """What the thread knows of one port. Only the thread touches it."""

    port: Port
    lease: dhcp.Lease
    sockets: Sockets
    leased: bool
    answered: threading.Event = field(default_factory=threading.Event)


class GuestService:
    """The thread and its guests. Methods may be called from any thread and return when done."""

    def __init__(self) -> None:
        self._guests: dict[InstanceId, _Guest] = {}
        self._answered: dict[InstanceId, threading.Event] = {}
        self._selector = selectors.DefaultSelector()
        self._orders: deque[Callable[[], None]] = deque()
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._take_orders)
        self._stopping = False
        self._next_probe = 0.0
        self._thread = threading.Thread(target=self._run, name="guest-service", daemon=True)
        self._thread.start()

    def add(self, port: Port, sockets: Sockets, *, leased: bool) -> None:
        """Serve a port; `leased` if its guest already runs and has its address."""
        plan = planned(port)
        lease = dhcp.Lease(
            address=IPv4Address(port.private_ip),
            subnet=IPv4Network(port.subnet_cidr),
            router=gateway(port),
            resolver=plan.resolver,
            hostname=port.hostname,
        )
        guest = _Guest(port, lease, sockets, leased)
        self._do(lambda: self._added(guest))

    def remove(self, instance_id: InstanceId) -> None:
        self._do(lambda: self._removed(instance_id))

    def restarted(self, instance_id: InstanceId) -> None:
        """Count the guest as gone until it takes its address again and answers."""
        self._do(lambda: self._forgotten(instance_id))

    def reachable(self, instance_id: InstanceId) -> bool:
        answered = self._answered.get(instance_id)
        return answered is not None and answered.is_set()

    def close(self) -> None:
        if not self._stopping:
            self._do(self._stopped)
            self._thread.join()
            for one in (self._wake, self._woken):
                one.close()
            self._selector.close()

    def _do(self, order: Callable[[], None]) -> None:
        done = threading.Event()

        def ordered() -> None:
            order()
            done.set()

        self._orders.append(ordered)
        with suppress(OSError):  # closed: there is nobody left to serve
            self._wake.send(b"!")
            done.wait(timeout=10)

    def _added(self, guest: _Guest) -> None:
        instance_id = guest.port.instance_id
        self._removed(instance_id)
        self._guests[instance_id] = guest
        self._answered[instance_id] = guest.answered
        handlers = (self._on_dhcp, self._on_dns, self._on_arp)
        for one, handler in zip(guest.sockets.all(), handlers, strict=True):
            self._selector.register(one, selectors.EVENT_READ, (handler, guest))
        self._next_probe = 0.0

    def _removed(self, instance_id: InstanceId) -> None:
        guest = self._guests.pop(instance_id, None)
        self._answered.pop(instance_id, None)
        if guest is not None:
            for one in guest.sockets.all():
                self._selector.unregister(one)
                one.close()

    def _forgotten(self, instance_id: InstanceId) -> None:
        if guest := self._guests.get(instance_id):
            guest.leased = False
            guest.answered.clear()

    def _stopped(self) -> None:
        for instance_id in list(self._guests):
            self._removed(instance_id)
        self._stopping = True

    def _take_orders(self) -> None:
        with suppress(BlockingIOError):
            self._woken.recv(4096)
        while self._orders:
            self._orders.popleft()()

    def _run(self) -> None:
        while not self._stopping:
            for key, _ in self._selector.select(self._probe()):
                if key.fileobj is self._woken:
                    self._take_orders()
                    break  # what else was ready may be closed now
                handler, guest = key.data
                # A tap that went away (ENETDOWN) or a full queue is the guest's loss only.
                with suppress(OSError):
                    handler(guest)

    def _probe(self) -> float | None:
        """Ask those that took their address but were not heard since; seconds until the next."""
        waiting = [g for g in self._guests.values() if g.leased and not g.answered.is_set()]
        if not waiting:
            return None
        now = time.monotonic()
        if now >= self._next_probe:
            self._next_probe = now + _PROBE_EVERY_S
            for guest in waiting:
                with suppress(OSError):
                    guest.sockets.arp.send(_who_has(guest.lease))
        return max(0.0, self._next_probe - now)

    def _on_dhcp(self, guest: _Guest) -> None:
        for _ in range(_PACKETS_AT_ONCE):
            request = guest.sockets.dhcp.recv(_PACKET_BYTES_MAX)
            answer = dhcp.answer(request, guest.lease)
            if answer is None:
                continue
            if answer.leased and not guest.leased:
                _log.info("%s took its address %s", guest.port.instance_id, guest.lease.address)
                guest.leased, self._next_probe = True, 0.0
            guest.sockets.dhcp.sendto(answer.packet, (answer.to, 68))

    def _on_dns(self, guest: _Guest) -> None:
        for _ in range(_PACKETS_AT_ONCE):
            query, control, _, client = guest.sockets.dns.recvmsg(_PACKET_BYTES_MAX, 64)
            names = {
                other.port.hostname.lower(): other.port.private_ip
                for other in self._guests.values()
                if other.port.vpc_id == guest.port.vpc_id
            }
            if answer := dns.answer(query, names):
                guest.sockets.dns.sendmsg([answer], _from_the_address_asked(control), 0, client)

    def _on_arp(self, guest: _Guest) -> None:
        for _ in range(_PACKETS_AT_ONCE):
            frame = guest.sockets.arp.recv(_PACKET_BYTES_MAX)
            if guest.leased and frame[14:20] == _ARP_OVER_ETHERNET:
                spoke = frame[28:32] == guest.lease.address.packed
                if spoke and not guest.answered.is_set():
                    _log.info(
                        "%s answers on %s", guest.port.instance_id, tap_name(guest.port.number)
                    )
                    guest.answered.set()


def _who_has(lease: dhcp.Lease) -> bytes:
    ours = bytes.fromhex(ROUTER_MAC.replace(":", ""))
    return b"".join(
        [
            b"\xff" * 6 + ours + struct.pack(">H", _ETH_P_ARP),
            _ARP_OVER_ETHERNET + struct.pack(">H", 1),
            ours + lease.router.packed,
            bytes(6) + lease.address.packed,
        ]
    )


def _from_the_address_asked(
    control: list[tuple[int, int, bytes]],
) -> list[tuple[int, int, bytes]]:
    """A resolver has several addresses; a guest only believes an answer from the one it asked."""
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO) and len(data) >= _IN_PKTINFO.size:
            asked = _IN_PKTINFO.unpack_from(data)[1]
            return [(level, kind, _IN_PKTINFO.pack(0, asked, bytes(4)))]
    return []
