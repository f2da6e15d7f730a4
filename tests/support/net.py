"""A guest without a machine: the kernel of another network namespace behind a plugged tap.

The descriptor that a machine would hold is joined to a second tap inside a namespace of the
guest's own by a thread that copies frames. The guest has real ARP, TCP and routing and starts
in milliseconds; what runs "in" it is a function run by a thread in that namespace.
"""

import os
import select
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self, TypeVar

from openami.compute.driver import MachineFailed, Network, Port, Rule
from openami.compute.network import namespace, shell
from openami.domain.ids import InstanceId, VpcId

T = TypeVar("T")

VPC_CIDR = "10.113.240.0/20"
EVERYWHERE = ("0.0.0.0/0",)


def an_id(prefix: str) -> str:
    return f"{prefix}-0{os.urandom(8).hex()}"


def a_rule(protocol: str = "tcp", first: int = 0, last: int = 65535, sources=EVERYWHERE) -> Rule:
    return Rule(protocol=protocol, from_port=first, to_port=last, sources=tuple(sources))


def plug(network: Network, port: Port) -> int:
    """A port that is served, as a driver has it when its machine is up: the tap's descriptor."""
    tap = network.plug(port)
    try:
        network.serve(port)
    except MachineFailed:
        os.close(tap)
        network.unplug(port.instance_id)
        raise
    return tap


def a_port(vpc_id: str, number: int = 1, **changes: object) -> Port:
    host = 4 + number % 200
    given: dict[str, object] = {
        "number": 700_000 + number,
        "instance_id": InstanceId(an_id("i")),
        "vpc_id": VpcId(vpc_id),
        "vpc_cidr": VPC_CIDR,
        "subnet_cidr": "10.113.240.0/24",
        "mac": f"06:00:0a:71:f0:{host:02x}",
        "private_ip": f"10.113.240.{host}",
        "hostname": f"ip-10-113-240-{host}.ec2.internal",
        "public_ip": None,
    }
    return Port(**(given | changes))  # type: ignore[arg-type]


class NetnsGuest:
    """The guest of one plugged tap. Leaving the context gives the descriptor back closed."""

    def __init__(self, port: Port, tap: int, mac: str | None = None) -> None:
        self.port, self._tap, self._mac = port, tap, mac or port.mac
        self.name = f"openami-guest-{port.number}-{os.getpid()}"

    def __enter__(self) -> Self:
        namespace.create(self.name)
        self._end = self.inside(lambda: namespace.open_tap("eth0"))
        self.inside(
            lambda: (
                namespace.write_settings(
                    {"ipv6/conf/all/disable_ipv6": "1", "ipv4/icmp_ratelimit": "0"}
                ),
                shell.ip_batch(
                    "link set lo up", f"link set eth0 address {self._mac}", "link set eth0 up"
                ),
            )
        )
        self._stop, self._stopped = os.pipe()
        for one in (self._tap, self._end):
            os.set_blocking(one, False)
        self._thread = threading.Thread(target=self._copy)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._stopped, b"!")
        self._thread.join()
        for one in (self._tap, self._end, self._stop, self._stopped):
            os.close(one)
        namespace.remove(self.name)

    def _copy(self) -> None:
        other = {self._tap: self._end, self._end: self._tap}
        while True:
            for ready in select.select([*other, self._stop], [], [])[0]:
                if ready == self._stop:
                    return
                with suppress(OSError):
                    os.write(other[ready], os.read(ready, 70_000))

    def inside(self, work: Callable[[], T]) -> T:
        return namespace.inside(self.name, work)

    def send_frame(self, frame: bytes) -> None:
        """Put a frame on the wire as the guest's card would, past the guest's own kernel."""
        os.write(self._tap, bytes(10) + frame)

    def address_by_hand(self) -> None:
        """What DHCP would tell, without DHCP."""
        router = self.port.subnet_cidr.replace(".0/24", ".1")
        self.inside(
            lambda: shell.ip_batch(
                f"addr replace {self.port.private_ip}/24 dev eth0",
                f"route replace default via {router}",
            )
        )

    def dhcp(self) -> dict[str, str]:
        """Take an address with busybox's DHCP client; what the client was told."""
        script = (
            '#!/bin/sh\n[ "$1" = bound ] || exit 0\n'
            "ip addr replace $ip/$mask dev $interface\nip route replace default via $router\nenv\n"
        )
        client = "busybox udhcpc -i eth0 -n -q -f -t 5 -T 1 -O mtu -O domain -s"
        with TemporaryDirectory(prefix="openami-guest-") as directory:
            path = Path(directory) / "told"
            path.write_text(script)
            path.chmod(0o755)
            told = self.inside(lambda: shell.run(*client.split(), str(path)))
        return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)

    def connect(self, address: str, port: int, timeout_s: float = 15.0) -> socket.socket:
        return self.inside(lambda: socket.create_connection((address, port), timeout_s))

    def listen(self, port: int) -> socket.socket:
        return self.inside(lambda: socket.create_server(("", port)))

    def pings(self, address: str) -> bool:
        return self.inside(
            lambda: (
                subprocess.run(
                    ["busybox", "ping", "-c", "1", "-W", "5", address],
                    capture_output=True,
                    check=False,
                ).returncode
                == 0
            )
        )

    def query_dns(self, name: str, server: str, kind: int = 1) -> bytes:
        question = b"".join(bytes((len(part),)) + part.encode() for part in name.split("."))
        query = b"\x12\x34\x01\x00\0\1\0\0\0\0\0\0" + question + b"\0" + struct.pack(">HH", kind, 1)

        def asked() -> bytes:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.settimeout(10)
                one.connect((server, 53))
                one.send(query)
                return one.recv(2048)

        return self.inside(asked)
