"""The nftables rules of a VPC, of one port and of the host, as text. Pure.

What a guest would wait for is rejected, not dropped: a silent resolver costs cloud-init 40 s.
A port is two chains, replaced as a whole: `from_oaN` (who it may claim to be) and `to_oaN`
(its security groups). Traffic between guests goes by the rules of the one it is sent to.

The host is a guest's neighbour: in a security group it is its address in the VPC (base + 3),
and whatever covers 127.0.0.1 (so 0.0.0.0/0, too) means it as well.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network
from typing import Final

from openami.compute.driver import MachineFailed, Port, Rule
from openami.compute.network.plan import (
    LOCALHOST,
    METADATA_ADDRESS,
    UPLINK,
    VETH_PREFIX,
    VpcPlan,
    tap_name,
)

_GUESTS: Final = '"oa*"'
_REFUSE: Final = """meta l4proto tcp reject with tcp reset
reject with icmpx type admin-prohibited"""

# Ranges that are never anyone's way out: loopback, link-local (a real metadata service of the
# machine underneath among them), multicast and the reserved rest.
_NEVER_OUTSIDE: Final = "127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3, 0.0.0.0/8"


def vpc_rules(plan: VpcPlan, vpc_pool: str, egress: str) -> str:
    """The VPC's own table. Loaded again it renews its rules and leaves those of the ports."""
    out = "jump refuse"
    if egress == "nat":
        inside = f"{_NEVER_OUTSIDE}, {IPv4Network(vpc_pool)}, {plan.cidr}"
        out = f"""ip daddr {{ {inside} }} jump refuse
tcp flags syn tcp option maxseg size set rt mtu
accept"""
    served = f"iifname {_GUESTS} udp dport {{ 53, 67 }}"
    chains = {
        "prerouting": f"iifname {_GUESTS} jump guard",
        # A packet of a guest says who it is: by its tap, and its source must agree.
        "guard": "ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept; iifname vmap @guards; drop",
        "input": f"""iifname "lo" accept
ct state established,related accept
icmp type echo-request accept
{served} update @busy {{ iifname limit rate over 500/second burst 500 packets }} drop
{served} accept
iifname {_GUESTS} ip daddr {METADATA_ADDRESS} tcp dport 80 accept
jump refuse""",
        "forward": f"""ct state established,related accept
ct state invalid drop
iifname {_GUESTS} oifname "{UPLINK}" jump outside
iifname "{UPLINK}" ip saddr != {plan.host} jump refuse
oifname vmap @ports
jump refuse""",
        "outside": out,
        "refuse": _REFUSE,
    }
    return "\n".join(
        [
            "add table inet openami",
            "add map inet openami guards { type ifname : verdict; }",
            "add map inet openami ports { type ifname : verdict; }",
            "add set inet openami busy"
            " { type ifname; size 65535; flags dynamic,timeout; timeout 10s; }",
            "add chain inet openami prerouting { type filter hook prerouting priority raw; }",
            "add chain inet openami input { type filter hook input priority filter; policy drop; }",
            "add chain inet openami forward"
            " { type filter hook forward priority filter; policy drop; }",
            *(f"add chain inet openami {chain}" for chain in ("guard", "outside", "refuse")),
            *_filled("openami", chains.items()),
            "",
        ]
    )


def port_rules(port: Port, plan: VpcPlan) -> str:
    """The two chains of a port, made or replaced. Raises MachineFailed for a rule unknown here."""
    tap = tap_name(port.number)
    admitted = "\n".join(line for rule in port.ingress for line in _admitting(rule, plan))
    chains = {
        f"from_{tap}": f"ip saddr {port.private_ip} accept",
        f"to_{tap}": f"{admitted}\njump refuse",
    }
    return "\n".join(
        [
            *(f"add chain inet openami {chain}" for chain in chains),
            *_filled("openami", chains.items()),
            f'add element inet openami guards {{ "{tap}" : jump from_{tap} }}',
            f'add element inet openami ports {{ "{tap}" : jump to_{tap} }}',
            "",
        ]
    )


def no_port_rules(tap: str) -> str:
    """Takes a port's chains away, also when they are not there: added first, then deleted."""
    pairs = (("guards", f"from_{tap}"), ("ports", f"to_{tap}"))
    lines: list[str] = []
    for names, chain in pairs:
        element = f'element inet openami {names} {{ "{tap}" : jump {chain} }}'
        lines += [f"add chain inet openami {chain}", f"add {element}", f"delete {element}"]
        lines += [f"flush chain inet openami {chain}", f"delete chain inet openami {chain}"]
    return "\n".join(lines) + "\n"


def host_rules(plan: VpcPlan, vpc_pool: str, egress: str) -> str:
    """The host's own side of the VPC: guests open nothing to it, others reach no guest over it."""
    table, veth = plan.veth, f'"{plan.veth}"'
    out = f"iifname {veth} jump refuse"
    if egress == "nat":
        inside = f"{_NEVER_OUTSIDE}, {IPv4Network(vpc_pool)}"
        out = f"""iifname {veth} oifname "{VETH_PREFIX}*" jump refuse
iifname {veth} ip daddr {{ {inside} }} jump refuse"""
    chains = {
        "input": f"""iifname {veth} ct state established,related accept
iifname {veth} jump refuse""",
        "forward": f"""{out}
oifname {veth} ct state established,related accept
oifname {veth} jump refuse""",
        "postrouting": f"ip saddr {plan.cidr} oifname != {veth} masquerade"
        if egress == "nat"
        else "",
        "refuse": _REFUSE,
    }
    return "\n".join(
        [
            f"add table inet {table}",
            f"add chain inet {table} input {{ type filter hook input priority -10; }}",
            f"add chain inet {table} forward {{ type filter hook forward priority -10; }}",
            f"add chain inet {table} postrouting {{ type nat hook postrouting priority srcnat; }}",
            f"add chain inet {table} refuse",
            *_filled(table, chains.items()),
            "",
        ]
    )


def no_host_rules(veth: str) -> str:
    return f"add table inet {veth}\ndelete table inet {veth}\n"


def admits_host(rule: Rule, plan: VpcPlan) -> bool:
    """Whether the rule opens its ports to the host, by the host's address or by 127.0.0.1."""
    ranges = [IPv4Network(source, strict=False) for source in rule.sources]
    return any(LOCALHOST in block or plan.host in block for block in ranges)


def _filled(table: str, chains: Iterable[tuple[str, str]]) -> list[str]:
    lines: list[str] = []
    for chain, rules in chains:
        lines.append(f"flush chain inet {table} {chain}")
        for rule in rules.replace(";", "\n").splitlines():
            if rule.strip():
                lines.append(f"add rule inet {table} {chain} {rule.strip()}")
    return lines


def _admitting(rule: Rule, plan: VpcPlan) -> list[str]:
    """One nft rule per source: ranges may overlap, which an nft set refuses."""
    try:
        sources = [str(IPv4Network(source, strict=False)) for source in rule.sources]
        if admits_host(rule, plan):
            sources.append(str(plan.host))
    except ValueError as wrong:
        raise MachineFailed(f"a security group's source is not an IPv4 range: {wrong}") from wrong
    what = _matching(rule)
    return [f"ip saddr {source} {what} accept" for source in sources]


def _matching(rule: Rule) -> str:
    first, last = int(rule.from_port), int(rule.to_port)
    match rule.protocol:
        case "-1":
            return ""
        case "tcp" | "udp":
            # -1 is how EC2 writes "all ports" where a range is expected.
            return f"{rule.protocol} dport {max(first, 0)}-{last if last >= 0 else 65535}"
        case "icmp":
            kind = "" if first < 0 else f" icmp type {first}"
            code = "" if last < 0 else f" icmp code {last}"
            return f"meta l4proto icmp{kind}{code}"
        case number if number.isascii() and number.isdigit():
            return f"meta l4proto {int(number)}"
        case other:
            raise MachineFailed(f"a security group names the protocol {other!r}, unknown here")
