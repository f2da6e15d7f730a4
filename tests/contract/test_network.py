"""What a guest, its neighbours and the host can reach, with real taps, rules and routes.

The guests are kernels of other namespaces (support.net): everything but the machine is real.
"""

import fcntl
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from openami.compute.driver import MachineFailed, Network, Port
from openami.compute.network import namespace, shell
from openami.compute.network.host import HostNetwork
from openami.domain.ids import InstanceId
from openami.domain.metadata import Metadata, MetadataOptions
from openami.imds.service import MetadataService
from openami.settings import Settings
from support.metadata import CountingIds, StoppedClock, a_metadata
from support.net import VPC_CIDR, NetnsGuest, a_port, a_rule, an_id, plug
from support.waiting import until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="networks need root")

OTHER_CIDR = "10.114.0.0/20"
METADATA = "169.254.169.254"
IN_OTHER_VPC = {"vpc_cidr": OTHER_CIDR, "subnet_cidr": "10.114.0.0/24", "private_ip": "10.114.0.9"}
AT_ONCE_S = 2.5  # the kernel itself gives up after 3 s, when nobody answers its ARP


@dataclass
class Host:
    """A network with its metadata service and the guests that were plugged into it."""

    settings: Settings = field(default_factory=Settings)
    vpc_id: str = field(default_factory=lambda: an_id("vpc"))
    other_vpc_id: str = field(default_factory=lambda: an_id("vpc"))
    known: dict[InstanceId, Metadata] = field(default_factory=dict)
    stack: ExitStack = field(default_factory=ExitStack)

    def begin(self) -> None:
        self.metadata = MetadataService(self.known.get, StoppedClock(), CountingIds())
        self.network = HostNetwork(self.settings, self.metadata.serve)

    def end(self) -> None:
        """What a stop of the server is: machines go on."""
        self.network.close()
        self.metadata.close()

    def port(self, number: int, **changes: object) -> Port:
        return a_port(self.vpc_id, number, **changes)

    def plug(self, port: Port, *, address: bool = True) -> NetnsGuest:
        self.known[port.instance_id] = a_metadata(instance_id=port.instance_id)
        descriptor = plug(self.network, port)
        self.stack.callback(lambda: self.network.unplug(port.instance_id))
        guest = self.stack.enter_context(NetnsGuest(port, descriptor))
        if address:
            guest.address_by_hand()
        return guest


@contextmanager
def a_host(settings: Settings | None = None) -> Iterator[Host]:
    host = Host(settings or Settings())
    host.begin()
    try:
        with host.stack:
            yield host
    finally:
        for vpc_id, cidr in ((host.vpc_id, VPC_CIDR), (host.other_vpc_id, OTHER_CIDR)):
            host.network.remove_vpc(vpc_id, cidr)
        host.end()


@pytest.fixture(scope="module", autouse=True)
def _alone() -> Iterator[None]:
    """Two runs of these tests on one machine would want the same addresses."""
    with Path("/tmp/openami-test-network.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(name="host")
def _host() -> Iterator[Host]:
    with a_host() as host:
        yield host


@contextmanager
def answering(listening: socket.socket, text: bytes) -> Iterator[None]:
    """Whoever connects is told the text, after the end of what it said."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                one, _ = listening.accept()
                with one:
                    heard = b"".join(iter(lambda: one.recv(4096), b""))  # noqa: B023
                    one.sendall(text + heard)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        listening.close()


def said(connection: socket.socket, text: bytes = b"") -> bytes:
    with connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def connects(guest: NetnsGuest, address: str, port: int) -> bool:
    """Whether it does; a failure must come at once."""
    begun = time.monotonic()
    try:
        guest.connect(address, port).close()
    except OSError:
        assert time.monotonic() - begun < AT_ONCE_S, f"{address}:{port} let the guest wait"
        return False
    return True


def host_connects(address: str, port: int) -> bool:
    begun = time.monotonic()
    try:
        socket.create_connection((address, port), 15).close()
    except OSError:
        assert time.monotonic() - begun < AT_ONCE_S
        return False
    return True


def asked(guest: NetnsGuest, path: str) -> bytes:
    line = f"GET {path} HTTP/1.0\r\n\r\n".encode()
    return said(guest.connect(METADATA, 80), line).split(b"\r\n\r\n", 1)[1]


def test_the_host_network_is_what_a_driver_needs(host: Host) -> None:
    network: Network = host.network
    assert not network.reachable(InstanceId("i-0123456789abcdef0"))
    network.unplug(InstanceId("i-0123456789abcdef0"))
    network.restarted(InstanceId("i-0123456789abcdef0"))


def test_a_guest_takes_its_address_by_dhcp(host: Host) -> None:
    port = host.port(1)
    told = host.plug(port, address=False).dhcp()
    expected = {
        "ip": port.private_ip,
        "subnet": "255.255.255.0",
        "router": "10.113.240.1",
        "dns": "10.113.240.2",
        "hostname": "ip-10-113-240-5",
        "domain": "ec2.internal",
        "mtu": "1500",
        "lease": "3600",
    }
    assert {name: told.get(name) for name in expected} == expected


def test_a_guest_is_reachable_once_it_has_its_address_and_answers(host: Host) -> None:
    port = host.port(1)
    guest = host.plug(port, address=False)
    assert not host.network.reachable(port.instance_id)
    guest.dhcp()
    until(lambda: host.network.reachable(port.instance_id))


def test_an_address_taken_by_hand_is_not_enough_to_be_reachable(host: Host) -> None:
    port = host.port(1)
    guest = host.plug(port)
    assert guest.pings("10.113.240.1")
    assert not host.network.reachable(port.instance_id)


def test_after_a_reset_a_guest_is_unreachable_until_it_takes_its_address_again(host: Host) -> None:
    port = host.port(1)
    guest = host.plug(port, address=False)
    guest.dhcp()
    until(lambda: host.network.reachable(port.instance_id))
    host.network.restarted(port.instance_id)
    assert guest.pings("10.113.240.1")
    assert not host.network.reachable(port.instance_id)
    guest.dhcp()
    until(lambda: host.network.reachable(port.instance_id))


def test_the_tap_says_who_asks_for_metadata(host: Host) -> None:
    for number in (1, 2):
        guest = host.plug(host.port(number))
        told = asked(guest, "/latest/meta-data/instance-id")
        assert told.decode() == guest.port.instance_id


def test_a_token_travels_no_further_than_the_hop_limit(host: Host) -> None:
    guest = host.plug(host.port(1))
    seen = guest.port.instance_id
    options = MetadataOptions(http_put_response_hop_limit=3)
    host.known[seen] = a_metadata(instance_id=seen, options=options)

    def hops(line: str) -> set[int]:
        """The hop counts of the packets with data that answer."""

        def watched() -> set[int]:
            with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)) as wire:
                wire.bind(("eth0", 0x0800))
                wire.settimeout(0.2)
                with socket.create_connection((METADATA, 80), 15) as one:
                    header = "X-aws-ec2-metadata-token-ttl-seconds: 60"
                    one.sendall(f"{line} HTTP/1.0\r\n{header}\r\n\r\n".encode())
                    while one.recv(4096):
                        pass
                counts: set[int] = set()
                with suppress(TimeoutError):
                    while packet := wire.recv(4096):
                        if packet[12:16] == socket.inet_aton(METADATA) and b"HTTP/1.1" in packet:
                            counts.add(packet[8])
                return counts

        return guest.inside(watched)

    assert hops("PUT /latest/api/token") == {3}
    assert hops("GET /latest/meta-data/") == {64}


def test_names_of_the_vpc_are_known_and_others_do_not_exist(host: Host) -> None:
    guest, other = host.plug(host.port(1)), host.plug(host.port(2))
    for resolver in ("10.113.240.2", "10.113.240.1"):
        known = guest.query_dns(other.port.hostname, resolver)
        assert known.endswith(socket.inet_aton(other.port.private_ip))
        assert guest.query_dns("deb.debian.org", resolver)[3] & 0x0F == 3


def test_names_of_another_vpc_do_not_exist(host: Host) -> None:
    guest = host.plug(host.port(1))
    strange = a_port(host.other_vpc_id, 2, **IN_OTHER_VPC)
    host.plug(strange)
    assert guest.query_dns(strange.hostname, "10.113.240.2")[3] & 0x0F == 3


def test_there_is_no_way_out_and_a_guest_hears_so_at_once(host: Host) -> None:
    guest = host.plug(host.port(1))
    own = socket.create_server(("", 0))
    number = own.getsockname()[1]
    with own:
        for address in _addresses_of_this_machine():
            assert not connects(guest, address, number), address
    for address, port in (
        ("10.113.240.3", 22),  # the host, as guests know it
        ("198.51.100.1", 80),  # a documentation address: nobody's
        ("169.254.1.1", 80),
        ("169.254.170.2", 80),
        (METADATA, 22),
        ("10.113.240.2", 22),
        ("10.113.241.77", 22),  # of the VPC, but nobody's
    ):
        assert not connects(guest, address, port), address


def _addresses_of_this_machine() -> list[str]:
    found = [a["local"] for link in shell.ip_json("-4", "addr") for a in link["addr_info"]]
    return [address for address in found if not address.startswith("127.")]


def test_a_datagram_to_nowhere_is_refused_not_lost(host: Host) -> None:
    guest = host.plug(host.port(1))

    def refused() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(AT_ONCE_S)
            one.connect(("198.51.100.1", 53))
            one.send(b"x")
            try:
                one.recv(100)
            except TimeoutError:
                return False
            except OSError:
                return True
            return False

    assert all(guest.inside(refused) for _ in range(20))


def test_the_guests_of_another_vpc_are_unreachable(host: Host) -> None:
    open_to_all = (a_rule("-1", -1, -1),)
    guest = host.plug(host.port(1, ingress=open_to_all))
    strange = host.plug(a_port(host.other_vpc_id, 2, ingress=open_to_all, **IN_OTHER_VPC))
    with answering(strange.listen(22), b"strange"):
        assert host_connects("10.114.0.9", 22)
        assert not connects(guest, "10.114.0.9", 22)


def test_a_guest_is_closed_until_its_security_group_opens_it(host: Host) -> None:
    guest, neighbour = host.plug(host.port(1)), host.plug(host.port(2))
    with answering(guest.listen(22), b"ssh"), answering(guest.listen(23), b"telnet"):
        assert not connects(neighbour, guest.port.private_ip, 22)
        assert not host_connects(guest.port.private_ip, 22)
        assert not neighbour.pings(guest.port.private_ip)

        rules = (a_rule("tcp", 22, 22), a_rule("icmp", -1, -1))
        host.network.update(_with(guest.port, rules))
        assert said(neighbour.connect(guest.port.private_ip, 22)) == b"ssh"
        assert not connects(neighbour, guest.port.private_ip, 23)
        assert neighbour.pings(guest.port.private_ip)
        assert host_connects(guest.port.private_ip, 22)

        host.network.update(_with(guest.port, ()))
        assert not connects(neighbour, guest.port.private_ip, 22)


def _with(port: Port, ingress: tuple[object, ...]) -> Port:
    values = {name: getattr(port, name) for name in port.__slots__}
    return Port(**(values | {"ingress": ingress}))


def test_a_security_group_tells_its_sources_apart(host: Host) -> None:
    friend, stranger = host.plug(host.port(2)), host.plug(host.port(3))
    rules = (a_rule("tcp", 22, 22, [f"{friend.port.private_ip}/32"]),)
    guest = host.plug(host.port(1, ingress=rules))
    with answering(guest.listen(22), b"ssh"):
        assert said(friend.connect(guest.port.private_ip, 22)) == b"ssh"
        assert not connects(stranger, guest.port.private_ip, 22)
        assert not host_connects(guest.port.private_ip, 22)


def test_a_connection_made_before_goes_on_when_its_rule_is_taken_away(host: Host) -> None:
    guest = host.plug(host.port(1, ingress=(a_rule("tcp", 22, 22),)))
    neighbour = host.plug(host.port(2))
    with answering(guest.listen(22), b"ssh "):
        made = neighbour.connect(guest.port.private_ip, 22)
        host.network.update(_with(guest.port, ()))
        assert said(made, b"still there") == b"ssh still there"


def test_the_host_is_known_to_its_guests_by_the_fourth_address_of_the_vpc(host: Host) -> None:
    guest = host.plug(host.port(1, ingress=(a_rule("tcp", 22, 22),)))
    with guest.listen(22) as listening:
        made = socket.create_connection((guest.port.private_ip, 22), 15)
        seen, address = listening.accept()
        assert address[0] == "10.113.240.3"
        seen.close()
        made.close()


def test_a_packet_with_anothers_address_is_dropped(host: Host) -> None:
    victim = host.plug(host.port(1, ingress=(a_rule("udp", 9, 9),)))
    liar = host.plug(host.port(2))
    friend = host.port(3).private_ip

    def heard() -> list[bytes]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.bind(("", 9))
            one.settimeout(5)
            for source, text in (
                (friend, b"a lie"),
                ("10.113.240.3", b"as the host"),
                ("10.113.240.1", b"as the router"),
                ("198.51.100.1", b"as nobody"),
                (liar.port.private_ip, b"the truth"),
            ):
                liar.send_frame(_datagram(liar.port.mac, source, victim.port.private_ip, text))
            return [one.recv(100)]

    victim.pings("10.113.240.1")
    assert victim.inside(heard) == [b"the truth"]


def _datagram(mac: str, source: str, target: str, text: bytes) -> bytes:
    udp = struct.pack(">HHHH", 9, 9, 8 + len(text), 0) + text
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0)
    head += socket.inet_aton(source) + socket.inet_aton(target)
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack(">H", ~total & 0xFFFF) + head[12:]
    ethernet = bytes.fromhex("020000000001" + mac.replace(":", "")) + b"\x08\x00"
    return ethernet + head + udp


def test_two_guests_with_the_same_mac_do_not_disturb_each_other(host: Host) -> None:
    first = host.plug(host.port(1, ingress=(a_rule("icmp", -1, -1),), mac="06:00:00:00:00:01"))
    second = host.plug(host.port(2, ingress=(a_rule("icmp", -1, -1),), mac="06:00:00:00:00:01"))
    assert first.pings(second.port.private_ip)
    assert second.pings(first.port.private_ip)


def test_an_open_port_is_relayed_from_the_public_address(host: Host) -> None:
    rules = (a_rule("tcp", 22, 22),)
    guest = host.plug(host.port(1, ingress=rules, public_ip="127.100.7.7"))
    with answering(guest.listen(22), b"ssh "):
        client = socket.create_connection(("127.100.7.7", 22), 15)
        assert said(client, b"x" * 200_000) == b"ssh " + b"x" * 200_000
        assert not host_connects("127.100.7.7", 23)

        host.network.update(_with(guest.port, ()))
        assert not host_connects("127.100.7.7", 22)


def test_a_client_of_a_relay_is_reset_when_the_guest_refuses(host: Host) -> None:
    port = host.port(1, ingress=(a_rule("tcp", 22, 22),), public_ip="127.100.7.7")
    host.plug(port)
    address = ("127.100.7.7", 22)
    # The reset may be there before the client has looked whether it is connected.
    with pytest.raises(ConnectionResetError), socket.create_connection(address, 15) as client:
        client.recv(10)


def test_a_client_of_a_relay_is_cut_off_when_the_guest_goes(host: Host) -> None:
    port = host.port(1, ingress=(a_rule("tcp", 22, 22),), public_ip="127.100.7.7")
    guest = host.plug(port)
    with answering(guest.listen(22), b""):
        with socket.create_connection(("127.100.7.7", 22), 15) as client:
            client.sendall(b"hello")
            host.network.unplug(port.instance_id)
            with pytest.raises(ConnectionResetError):
                client.recv(10)
        assert not host_connects("127.100.7.7", 22)


def test_a_public_address_that_cannot_be_had_costs_the_relay_not_the_machine(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    rules = (a_rule("tcp", 22, 22), a_rule("tcp", 2222, 2222))
    with socket.create_server(("127.100.7.7", 22)):
        guest = host.plug(host.port(1, ingress=rules, public_ip="127.100.7.7"))
    assert "no relay on 127.100.7.7:22" in caplog.text
    with answering(guest.listen(2222), b"other"):
        assert said(socket.create_connection(("127.100.7.7", 2222), 15)) == b"other"


def test_a_public_address_that_is_not_loopback_is_never_listened_on(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.plug(host.port(1, ingress=(a_rule("tcp", 22, 22),), public_ip="0.0.0.0"))
    assert "no loopback address" in caplog.text
    assert not host_connects("127.0.0.9", 22)


def test_a_restarted_server_takes_up_its_guests(host: Host) -> None:
    port = host.port(1, ingress=(a_rule("tcp", 22, 22),), public_ip="127.100.7.7")
    guest = host.plug(port, address=False)
    guest.dhcp()
    with answering(guest.listen(22), b"ssh "):
        made = socket.create_connection((port.private_ip, 22), 15)
        host.end()
        host.begin()
        host.network.adopt(port)
        assert said(made, b"still there") == b"ssh still there"
        until(lambda: host.network.reachable(port.instance_id))
        assert asked(guest, "/latest/meta-data/instance-id").decode() == port.instance_id
        assert guest.dhcp()["ip"] == port.private_ip
        assert said(socket.create_connection(("127.100.7.7", 22), 15)) == b"ssh "


def test_a_restarted_server_leaves_the_other_guests_of_the_vpc_their_rules(host: Host) -> None:
    first = host.plug(host.port(1, ingress=(a_rule("tcp", 22, 22),)))
    second = host.plug(host.port(2))
    with answering(first.listen(22), b"ssh"):
        host.end()
        host.begin()
        host.network.adopt(second.port)
        assert connects(second, first.port.private_ip, 22)
        host.network.adopt(first.port)


def test_a_port_without_its_tap_cannot_be_taken_up(host: Host) -> None:
    with pytest.raises(MachineFailed, match="no tap"):
        host.network.adopt(host.port(1))
    assert not namespace.exists(host.vpc_id)


def ours(host: Host) -> list[str]:
    marks = (host.vpc_id, host.vpc_id[-12:], "10.113.240.")
    return [line for line in host.network.leftovers() if any(mark in line for mark in marks)]


def test_the_last_guest_takes_the_namespace_along_but_its_range_stays_inside(host: Host) -> None:
    port = host.port(1)
    descriptor = plug(host.network, port)
    assert ours(host) == []
    os.close(descriptor)
    host.network.unplug(port.instance_id)
    host.network.unplug(port.instance_id)
    assert not namespace.exists(host.vpc_id)
    assert ours(host) == [f"ip route delete unreachable {VPC_CIDR}"]
    assert not host_connects(port.private_ip, 22)
    host.network.remove_vpc(host.vpc_id, VPC_CIDR)
    host.network.remove_vpc(host.vpc_id, VPC_CIDR)
    assert ours(host) == []


def test_what_a_crash_left_is_told(host: Host) -> None:
    first, second = host.port(1), host.port(2)
    host.plug(first)
    host.plug(second)
    host.end()
    host.begin()
    told = "\n".join(ours(host))
    for trace in ("oa700001 in", "oa700002 in", f"link delete oav{host.vpc_id[-12:]}"):
        assert trace in told
    for trace in ("nft delete table inet oav", "ip route delete 10.113.240.5/32"):
        assert trace in told
    host.network.adopt(first)
    told = "\n".join(ours(host))
    assert "oa700001" not in told
    assert "oa700002 in" in told
    assert "10.113.240.5/32" not in told
    host.network.adopt(second)


def test_nothing_of_a_guest_passes_before_its_port_is_served(host: Host) -> None:
    guest = unserved(host, host.port(1))
    with pytest.raises(OSError):
        guest.connect(METADATA, 80)
    host.network.serve(guest.port)
    assert asked(guest, "/latest/meta-data/instance-id").decode() == guest.port.instance_id


def test_a_guest_whose_server_died_before_it_was_served_is_served_when_it_is_adopted(
    host: Host,
) -> None:
    guest = unserved(host, host.port(1))
    host.end()
    host.begin()
    host.network.adopt(guest.port)
    assert asked(guest, "/latest/meta-data/instance-id").decode() == guest.port.instance_id


def unserved(host: Host, port: Port) -> NetnsGuest:
    """Plugged, its machine running, and nothing done for it yet."""
    host.known[port.instance_id] = a_metadata(instance_id=port.instance_id)
    descriptor = host.network.plug(port)
    host.stack.callback(lambda: host.network.unplug(port.instance_id))
    guest = host.stack.enter_context(NetnsGuest(port, descriptor))
    guest.address_by_hand()
    return guest


def test_what_a_guest_that_died_beside_the_server_had_can_be_cleared(host: Host) -> None:
    first, second = host.port(1), host.plug(host.port(2))
    os.close(plug(host.network, first))
    host.end()
    host.begin()
    host.network.adopt(second.port)
    assert ours(host) != []
    host.network.clear(first)
    host.network.clear(first)
    assert ours(host) == []


def test_a_guest_can_be_plugged_again_after_it_is_gone(host: Host) -> None:
    port = host.port(1)
    for _ in range(2):
        os.close(plug(host.network, port))
    host.plug(port)
    assert ours(host) == []


def test_the_number_of_a_guest_lost_in_a_crash_can_be_given_to_another(host: Host) -> None:
    os.close(plug(host.network, host.port(1)))
    host.end()
    host.begin()
    other = host.port(1, private_ip="10.113.240.99")
    guest = host.plug(other)
    assert asked(guest, "/latest/meta-data/instance-id").decode() == other.instance_id


def test_a_range_in_use_by_another_vpc_is_refused_and_nothing_is_left(host: Host) -> None:
    host.plug(host.port(1))
    rival = a_port(host.other_vpc_id, 2)
    with pytest.raises(MachineFailed, match="another VPC of openami"):
        plug(host.network, rival)
    assert not namespace.exists(host.other_vpc_id)
    assert host.other_vpc_id not in "\n".join(host.network.leftovers())


def test_a_range_is_free_again_when_a_crash_left_nothing_running_in_it(host: Host) -> None:
    os.close(plug(host.network, host.port(1)))
    host.end()
    host.begin()
    guest = host.plug(a_port(host.other_vpc_id, 2))
    assert asked(guest, "/latest/meta-data/instance-id").decode() == guest.port.instance_id
    assert not namespace.exists(host.vpc_id)


def test_a_range_is_not_free_while_a_machine_runs_in_it(host: Host) -> None:
    guest = host.plug(host.port(1))
    host.end()
    host.begin()
    with pytest.raises(MachineFailed, match="another VPC of openami"):
        plug(host.network, a_port(host.other_vpc_id, 2))
    assert namespace.exists(host.vpc_id)
    host.network.adopt(guest.port)


def test_a_rule_that_cannot_be_leaves_nothing_of_the_port(host: Host) -> None:
    with pytest.raises(MachineFailed, match="sctp"):
        plug(host.network, host.port(1, ingress=(a_rule("sctp"),)))
    assert not namespace.exists(host.vpc_id)


def test_a_vpc_with_guests_is_not_removed(host: Host) -> None:
    host.plug(host.port(1))
    with pytest.raises(MachineFailed, match="still has"):
        host.network.remove_vpc(host.vpc_id, VPC_CIDR)


def test_a_guest_that_floods_its_resolver_leaves_the_others_theirs(host: Host) -> None:
    flooding, other = host.plug(host.port(1)), host.plug(host.port(2))

    def flood() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            for _ in range(20_000):
                with suppress(OSError):
                    one.sendto(b"\0" * 64, ("10.113.240.2", 53))

    thread = threading.Thread(target=lambda: flooding.inside(flood))
    thread.start()
    assert other.query_dns("deb.debian.org", "10.113.240.2")[3] & 0x0F == 3
    thread.join()
