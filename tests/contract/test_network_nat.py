"""The way out (egress = "nat"), on a host and towards an outside that are namespaces, too."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from openami.compute.network import namespace, shell
from openami.compute.network.host import HostNetwork
from openami.settings import Settings
from support.net import VPC_CIDR, NetnsGuest, a_port, a_rule, an_id, plug

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="networks need root")

HOST, OUTSIDE = f"openami-test-host-{os.getpid()}", f"openami-test-out-{os.getpid()}"


@dataclass
class World:
    """A guest in a VPC on `HOST` (198.51.100.2), which has a link to `OUTSIDE` (198.51.100.1)."""

    guest: NetnsGuest
    other_vpc: str

    def connects(self, address: str, port: int) -> bool:
        try:
            self.guest.connect(address, port).close()
        except OSError:
            return False
        return True


def _link() -> None:
    shell.run(*f"ip link add inner type veth peer name outer netns {OUTSIDE}".split())
    shell.ip_batch(
        "link set lo up",
        "addr add 198.51.100.2/24 dev inner",
        "link set inner up",
        "route add default via 198.51.100.1",
    )


@pytest.fixture(name="world")
def _world() -> Iterator[World]:
    with ExitStack() as stack:
        for name in (HOST, OUTSIDE):
            namespace.create(name)
            stack.callback(namespace.remove, name)
        namespace.inside(HOST, _link)
        namespace.inside(
            OUTSIDE,
            lambda: shell.ip_batch(
                "link set lo up",
                "addr add 198.51.100.1/24 dev outer",
                "link set outer up",
                "route add default via 198.51.100.2",
            ),
        )

        def serve(_: str, listening: socket.socket):
            return listening.close

        # A thread begins in the namespace of the one that starts it: all of the network's
        # threads are on the host that is none.
        network = namespace.inside(HOST, lambda: HostNetwork(Settings(egress="nat"), serve))
        stack.callback(network.close)
        vpc_id, other_vpc = an_id("vpc"), an_id("vpc")
        port = a_port(vpc_id, 1)
        elsewhere = a_port(
            other_vpc,
            2,
            vpc_cidr="10.114.0.0/20",
            subnet_cidr="10.114.0.0/24",
            private_ip="10.114.0.9",
            ingress=(a_rule("-1", -1, -1),),
        )
        taps = {}
        for one in (port, elsewhere):
            taps[one.private_ip] = namespace.inside(HOST, lambda one=one: plug(network, one))
            stack.callback(
                lambda one=one: namespace.inside(HOST, lambda: network.unplug(one.instance_id))
            )
        guest = stack.enter_context(NetnsGuest(port, taps[port.private_ip]))
        other = stack.enter_context(NetnsGuest(elsewhere, taps[elsewhere.private_ip]))
        guest.address_by_hand()
        other.address_by_hand()
        stack.enter_context(other.listen(22))
        yield World(guest, other_vpc)


def test_a_guest_gets_out_under_the_address_of_the_host(world: World) -> None:
    listening = namespace.inside(OUTSIDE, lambda: socket.create_server(("198.51.100.1", 80)))
    with listening:
        made = world.guest.connect("198.51.100.1", 80)
        seen, address = listening.accept()
        assert address[0] == "198.51.100.2"
        seen.close()
        made.close()


def test_a_guest_gets_neither_to_the_host_nor_to_another_vpc(world: World) -> None:
    with namespace.inside(HOST, lambda: socket.create_server(("", 8080))):
        for address in ("198.51.100.2", "10.113.240.3", "10.114.0.3", "169.254.1.1"):
            assert not world.connects(address, 8080), address
        assert not world.connects("10.114.0.9", 22)


def test_nobody_outside_gets_in(world: World) -> None:
    with world.guest.listen(22):

        def enters() -> bool:
            try:
                socket.create_connection((world.guest.port.private_ip, 22), 2).close()
            except OSError:
                return False
            return True

        assert not namespace.inside(OUTSIDE, enters)
        assert VPC_CIDR.startswith("10.113.240")
