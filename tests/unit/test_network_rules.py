"""What is written into the kernel, before it is: names, rules, routes and relayed ports."""

from ipaddress import IPv4Network

import pytest

from openami.compute.driver import MachineFailed, Rule
from openami.compute.network import firewall, routes
from openami.compute.network.plan import planned, tap_name
from openami.compute.network.relay import WELL_KNOWN, relayed_ports
from support.net import a_port, a_rule

VPC = "vpc-0123456789abcdef0"
PLAN = planned(a_port(VPC))


def admitted(*rules: Rule) -> list[str]:
    port = a_port(VPC, ingress=rules)
    chain = f"add rule inet openami to_{tap_name(port.number)} "
    lines = firewall.port_rules(port, PLAN).splitlines()
    return [
        line.removeprefix(chain) for line in lines if line.startswith(chain) and "accept" in line
    ]


@pytest.mark.parametrize(
    ("rule", "written"),
    [
        (a_rule("tcp", 22, 22, ["198.51.100.0/24"]), "ip saddr 198.51.100.0/24 tcp dport 22-22"),
        (a_rule("udp", 53, 60, ["198.51.100.7/32"]), "ip saddr 198.51.100.7/32 udp dport 53-60"),
        (a_rule("tcp", -1, -1, ["198.51.100.0/24"]), "ip saddr 198.51.100.0/24 tcp dport 0-65535"),
        (a_rule("-1", -1, -1, ["198.51.100.0/24"]), "ip saddr 198.51.100.0/24"),
        (
            a_rule("icmp", 8, -1, ["198.51.100.0/24"]),
            "ip saddr 198.51.100.0/24 meta l4proto icmp icmp type 8",
        ),
        (a_rule("icmp", -1, -1, ["198.51.100.0/24"]), "ip saddr 198.51.100.0/24 meta l4proto icmp"),
        (a_rule("50", -1, -1, ["198.51.100.0/24"]), "ip saddr 198.51.100.0/24 meta l4proto 50"),
    ],
)
def test_a_permission_becomes_a_rule(rule: Rule, written: str) -> None:
    assert [" ".join(line.split()) for line in admitted(rule)] == [f"{written} accept"]


def test_without_permissions_nothing_is_admitted() -> None:
    assert admitted() == []


def test_a_range_with_host_bits_is_its_network() -> None:
    assert admitted(a_rule(sources=["198.51.100.9/24"]))[0].startswith("ip saddr 198.51.100.0/24 ")


def test_who_admits_this_machine_admits_the_host() -> None:
    """In a guest's eyes the host is base + 3, whatever the group's author called it."""
    from_host = f"ip saddr {PLAN.host} tcp dport 22-22 accept"
    for source in ("127.0.0.1/32", "0.0.0.0/0", f"{PLAN.host}/32"):
        assert from_host in admitted(a_rule("tcp", 22, 22, [source]))
    assert from_host not in admitted(a_rule("tcp", 22, 22, ["198.51.100.0/24"]))


@pytest.mark.parametrize("source", ["::/0", "10.0.0.0/33", '0.0.0.0/0 } ; flush ruleset ; "', ""])
def test_a_source_that_is_no_ipv4_range_is_refused(source: str) -> None:
    with pytest.raises(MachineFailed, match="IPv4"):
        admitted(a_rule(sources=[source]))


def test_a_protocol_without_a_meaning_is_refused() -> None:
    with pytest.raises(MachineFailed, match="sctp"):
        admitted(a_rule("sctp"))


@pytest.mark.parametrize(
    "changes",
    [
        {"vpc_id": "vpc-../../etc"},
        {"vpc_cidr": "10.113.240.0"},
        {"vpc_cidr": "10.113.240.1/20"},
        {"subnet_cidr": "10.99.0.0/24"},
        {"private_ip": "10.113.240.0"},
        {"private_ip": "10.113.240.1"},
        {"private_ip": "10.113.240.3"},
        {"private_ip": "10.113.241.5"},
        {"private_ip": "five"},
        {"number": -700_002},
        {"number": 10**14},
    ],
)
def test_a_port_that_cannot_be_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(MachineFailed):
        planned(a_port(**({"vpc_id": VPC} | changes)))  # type: ignore[arg-type]


def test_interface_names_fit_into_the_kernels_15_characters() -> None:
    assert len(PLAN.veth) == 15
    assert len(tap_name(10**13 - 1)) == 15
    assert planned(a_port("vpc-0a1b2c3d")).veth == "oav0a1b2c3d"


@pytest.mark.parametrize(
    "route",
    [
        {"dst": "10.0.0.0/8", "dev": "tun0"},
        {"dst": "10.113.240.0/20", "dev": "eth0", "protocol": "kernel"},
        {"dst": "10.113.241.9", "dev": "eth0", "type": "local", "table": "local"},
        {"dst": "10.113.240.5", "dev": "oavffffffffffff", "protocol": "197"},
    ],
)
def test_a_range_that_the_host_uses_already_is_refused(route: dict[str, object]) -> None:
    with pytest.raises(MachineFailed, match=r"10\.113\.240\.0/20 .* overlaps .* set vpc_pool"):
        routes.claim(PLAN, [route])


@pytest.mark.parametrize(
    "route",
    [
        {"dst": "default", "dev": "eth0"},
        {"dst": "0.0.0.0/1", "dev": "tun0"},
        {"dst": "192.0.2.0/24", "dev": "eth0"},
        {"dst": "fd00::/64", "dev": "eth0"},
        {"dst": "10.113.240.5", "dev": PLAN.veth, "protocol": "197"},
        {"dst": "10.113.240.3", "dev": PLAN.veth, "protocol": "kernel", "type": "local"},
        {"dst": "10.113.240.0/20", "type": "unreachable", "protocol": "197"},
    ],
)
def test_other_routes_and_our_own_are_not_in_the_way(route: dict[str, object]) -> None:
    routes.claim(PLAN, [route])


def relayed(*rules: Rule) -> frozenset[int]:
    return relayed_ports(a_port(VPC, ingress=rules))


def test_open_tcp_ports_are_relayed() -> None:
    assert relayed(a_rule("tcp", 22, 22), a_rule("tcp", 8000, 8002)) == {22, 8000, 8001, 8002}


def test_of_a_wide_range_only_the_known_ports_are_relayed() -> None:
    assert relayed(a_rule("tcp", 1, 65535)) == set(WELL_KNOWN)
    assert relayed(a_rule("-1", -1, -1)) == set(WELL_KNOWN)
    assert relayed(a_rule("tcp", 8000, 9000)) == {8080, 8443}
    assert len(relayed(a_rule("tcp", 1000, 1063))) == 64


def test_what_is_not_tcp_or_not_open_to_the_host_is_not_relayed() -> None:
    assert relayed() == frozenset()
    assert relayed(a_rule("udp", 53, 53), a_rule("icmp", -1, -1)) == frozenset()
    assert relayed(a_rule("tcp", 22, 22, ["10.113.240.9/32"])) == frozenset()
    assert relayed(a_rule("tcp", 22, 22, ["127.0.0.0/8"])) == {22}
    assert relayed(a_rule("tcp", 22, 22, [f"{PLAN.host}/32"])) == {22}


def test_a_way_out_never_leads_to_the_host_or_another_vpc() -> None:
    rules = firewall.vpc_rules(PLAN, "10.112.0.0/12", "nat")
    outside = [line for line in rules.splitlines() if " outside ip daddr" in line]
    assert len(outside) == 1
    for block in ("127.0.0.0/8", "169.254.0.0/16", "10.112.0.0/12", str(PLAN.cidr)):
        assert block in outside[0]
    assert outside[0].endswith("jump refuse")


def test_without_a_way_out_nothing_is_translated() -> None:
    assert "masquerade" not in firewall.host_rules(PLAN, "10.112.0.0/12", "none")
    assert "masquerade" in firewall.host_rules(PLAN, "10.112.0.0/12", "nat")
    assert IPv4Network("10.113.240.0/20").subnet_of(IPv4Network("10.112.0.0/12"))
