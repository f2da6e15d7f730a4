"""A guest's public address: TCP ports of a loopback address of the host, relayed to the guest.

A port is relayed if a security group rule opens it to the host (firewall.admits_host): each
port of a range of up to 64, of wider ranges only those that people connect to. A client is
accepted before the guest is asked; if the guest refuses, the client is reset.
"""

import asyncio
import logging
import socket
import struct
import threading
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, Final, TypeVar

from openami.compute.driver import Port
from openami.compute.network.firewall import admits_host
from openami.compute.network.plan import planned
from openami.domain.ids import InstanceId

WELL_KNOWN: Final = (22, 80, 443, 3389, 5985, 5986, 8080, 8443)
RANGE_PORTS_MAX: Final = 64
CONNECTIONS_MAX: Final = 128  # of one guest; each is two descriptors
_CONNECT_TIMEOUT_S: Final = 10.0
_ACCEPT_PAUSE_S: Final = 1.0
_PIECE_BYTES: Final = 64 * 1024

_log = logging.getLogger(__name__)
T = TypeVar("T")


def relayed_ports(port: Port) -> frozenset[int]:
    """The TCP ports to listen on for this port. Pure."""
    plan = planned(port)
    ports: set[int] = set()
    for rule in port.ingress:
        if rule.protocol not in ("tcp", "-1") or not admits_host(rule, plan):
            continue
        whole = rule.protocol == "-1" or rule.from_port < 0
        first, last = (1, 65535) if whole else (max(rule.from_port, 1), rule.to_port)
        if last - first < RANGE_PORTS_MAX:
            ports.update(range(first, last + 1))
        else:
            ports.update(known for known in WELL_KNOWN if first <= known <= last)
    return frozenset(ports)


@dataclass(slots=True)
class _Relayed:
    """What the loop holds for one guest. Only the loop touches it."""

    address: str
    target: str
    listening: dict[int, socket.socket] = field(default_factory=dict)
    clients: set[asyncio.Task[None]] = field(default_factory=set)


class Relays:
    """All relays of this host, in one thread. Methods may be called from any other thread."""

    def __init__(self) -> None:
        self._guests: dict[InstanceId, _Relayed] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relays", daemon=True)
        self._thread.start()

    def serve(self, port: Port) -> None:
        """Listen on what the port opens now and on nothing else; connections made go on.

        An address or a port that cannot be had is logged: the machine runs without it.
        """
        if port.public_ip is None or not IPv4Address(port.public_ip).is_loopback:
            if port.public_ip is not None:
                _log.warning("%s: %s is no loopback address", port.instance_id, port.public_ip)
            self.remove(port.instance_id)
        else:
            self._do(self._serve(port, port.public_ip, relayed_ports(port)))

    def remove(self, instance_id: InstanceId) -> None:
        self._do(self._remove(instance_id))

    def close(self) -> None:
        if not self._loop.is_closed():
            self._do(self._remove_all())
            self._do(_quiet())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _do(self, order: Coroutine[Any, Any, T]) -> T | None:
        if self._loop.is_closed():
            order.close()
            return None
        return asyncio.run_coroutine_threadsafe(order, self._loop).result(timeout=10)

    async def _serve(self, port: Port, address: str, ports: frozenset[int]) -> None:
        held = self._guests.get(port.instance_id)
        if held is not None and (held.address, held.target) != (address, port.private_ip):
            await self._remove(port.instance_id)
        relayed = self._guests.setdefault(port.instance_id, _Relayed(address, port.private_ip))
        self._stop(relayed, [number for number in relayed.listening if number not in ports])
        for number in sorted(ports - relayed.listening.keys()):
            try:
                relayed.listening[number] = self._listen(relayed, number)
            except OSError as wrong:
                _log.warning("%s: no relay on %s:%d: %s", port.instance_id, address, number, wrong)

    def _listen(self, relayed: _Relayed, number: int) -> socket.socket:
        """(asyncio's own server loses a connection that is accepted while it is closed.)"""
        listening = socket.create_server((relayed.address, number), backlog=CONNECTIONS_MAX)
        listening.setblocking(False)
        self._loop.add_reader(listening, self._accept, relayed, number, listening)
        return listening

    def _accept(self, relayed: _Relayed, number: int, listening: socket.socket) -> None:
        try:
            client, _ = listening.accept()
        except BlockingIOError:
            return
        except OSError as wrong:  # out of descriptors: the next try is in a second
            _log.warning("no client of %s:%d: %s", relayed.address, number, wrong)
            self._loop.remove_reader(listening)
            self._loop.call_later(_ACCEPT_PAUSE_S, self._accept_again, relayed, number, listening)
            return
        if len(relayed.clients) >= CONNECTIONS_MAX:
            client.close()
            return
        task = self._loop.create_task(_relay(client, relayed.target, number))
        relayed.clients.add(task)
        task.add_done_callback(relayed.clients.discard)

    def _accept_again(self, relayed: _Relayed, number: int, listening: socket.socket) -> None:
        if relayed.listening.get(number) is listening:
            self._loop.add_reader(listening, self._accept, relayed, number, listening)

    def _stop(self, relayed: _Relayed, numbers: Iterable[int]) -> None:
        for number in numbers:
            listening = relayed.listening.pop(number)
            self._loop.remove_reader(listening)
            listening.close()

    async def _remove(self, instance_id: InstanceId) -> None:
        relayed = self._guests.pop(instance_id, None)
        if relayed is None:
            return
        self._stop(relayed, list(relayed.listening))
        await asyncio.sleep(0)  # a client accepted in this turn begins, so that it can be ended
        for client in relayed.clients:
            client.cancel()
        await asyncio.gather(*relayed.clients, return_exceptions=True)

    async def _remove_all(self) -> None:
        for instance_id in list(self._guests):
            await self._remove(instance_id)


async def _relay(client: socket.socket, target: str, number: int) -> None:
    reader, writer = await asyncio.open_connection(sock=client)
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            there, back = await asyncio.open_connection(target, number)
    except (OSError, asyncio.CancelledError):  # TimeoutError is an OSError
        _reset(writer)
        return
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(_pump(reader, back))
            both.create_task(_pump(there, writer))
    except* OSError:
        _reset(writer)
        _reset(back)
    except* asyncio.CancelledError:
        _reset(writer)
        _reset(back)
    else:
        writer.close()
        back.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """One direction, to its end: the end is passed on alone, the other direction may go on."""
    while piece := await source.read(_PIECE_BYTES):
        sink.write(piece)
        await sink.drain()
    if sink.can_write_eof():
        with suppress(OSError):
            sink.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the peer sees an error, not an orderly end."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _quiet() -> None:
    """Let everything that was cancelled or closed come to its end, transports included."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.gather(*others, return_exceptions=True)
    for _ in range(3):  # a transport closes in the turn after it is aborted
        await asyncio.sleep(0)
