"""What a security group's rule may say, and when two rules are the same.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpPermission.html
"""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from openami.domain.errors import EC2Error, InvalidParameterValue, UnsupportedOperation
from openami.domain.ids import SecurityGroupId
from openami.domain.network import SecurityGroupRule

NAME_CHARACTERS_MAX: Final = 255
DESCRIPTION_CHARACTERS_MAX: Final = 255
PROTOCOL_MAX: Final = 255
ICMP_MAX: Final = 255
RULES_MAX: Final = 60
"""Rules of one direction, as EC2's default quota."""

_PROTOCOLS: Final = {
    "tcp": "tcp",
    "6": "tcp",
    "udp": "udp",
    "17": "udp",
    "icmp": "icmp",
    "1": "icmp",
    "icmpv6": "icmpv6",
    "58": "icmpv6",
    "-1": "-1",
    "all": "-1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """One rule as it is asked for. Exactly one of the sources is set.

    A group that is named rather than told by its id becomes an id when it is looked up.
    """

    protocol: str
    from_port: int
    to_port: int
    cidr_ipv4: str | None = None
    cidr_ipv6: str | None = None
    source_group_id: SecurityGroupId | None = None
    source_group_name: str | None = None
    description: str | None = None

    def same_as(self, rule: SecurityGroupRule) -> bool:
        """A description does not tell two rules apart."""
        mine = (self.protocol, self.from_port, self.to_port)
        theirs = (rule.protocol, rule.from_port, rule.to_port)
        return mine == theirs and (self.cidr_ipv4, self.cidr_ipv6, self.source_group_id) == (
            rule.cidr_ipv4,
            rule.cidr_ipv6,
            rule.source_group_id,
        )

    def duplicate(self) -> EC2Error:
        peer = self.cidr_ipv4 or self.cidr_ipv6 or self.source_group_id
        return EC2Error.of(
            "InvalidPermission.Duplicate",
            f'the specified rule "peer: {peer}, {self.protocol.upper()},'
            f' from port: {self.from_port}, to port: {self.to_port}, ALLOW" already exists',
        )


def checked_protocol(text: str) -> str:
    """The protocol under its one name.

    Raises UnsupportedOperation for the rare ones, InvalidParameterValue for what is none.
    """
    known = _PROTOCOLS.get(text.lower())
    if known is not None:
        return known
    if text.isdecimal() and int(text) <= PROTOCOL_MAX:
        raise UnsupportedOperation(
            f"The protocol '{text}' is not one of tcp, udp, icmp, icmpv6 and -1"
        )
    raise InvalidParameterValue(f"Invalid value '{text}' for IP protocol. Unknown protocol.")


def checked_ports(protocol: str, first: int | None, last: int | None) -> tuple[int, int]:
    """The port range, or ICMP type and code; all ports for the protocol -1."""
    if protocol == "-1":
        return -1, -1
    if protocol in ("icmp", "icmpv6"):
        return _icmp(first), _icmp(last)
    if first is None or last is None:
        raise InvalidParameterValue(
            f"Invalid value 'Must specify both from and to ports with {protocol.upper()}'"
            " for portRange."
        )
    if not 0 <= first <= 65535 or not 0 <= last <= 65535:
        raise InvalidParameterValue(f"Invalid value '{first}-{last}' for portRange.")
    if first > last:
        raise InvalidParameterValue(f"Invalid TCP/UDP port range ({first}:{last})")
    return first, last


def _icmp(number: int | None) -> int:
    """An ICMP type or code; -1 is every one."""
    if number is None:
        return -1
    if not -1 <= number <= ICMP_MAX:
        raise InvalidParameterValue(f"ICMP code/type ({number}) out of range")
    return number


def checked_cidr(text: str) -> str:
    """The block in its shortest writing: EC2 forgets the bits after the prefix."""
    try:
        return str(IPv4Network(text, strict=False)) if "/" in text else _malformed(text)
    except ValueError as wrong:
        raise InvalidParameterValue(f"CIDR block {text} is malformed") from wrong


def checked_cidr_ipv6(text: str) -> str:
    try:
        return str(IPv6Network(text, strict=False)) if "/" in text else _malformed(text)
    except ValueError as wrong:
        raise InvalidParameterValue(f"CIDR block {text} is malformed") from wrong


def _malformed(text: str) -> str:
    raise ValueError(text)


def check_name(name: str) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html"""
    if not name or len(name) > NAME_CHARACTERS_MAX or not name.isascii():
        raise InvalidParameterValue(
            f"Value ({name}) for parameter GroupName is invalid. A name has 1 to"
            f" {NAME_CHARACTERS_MAX} ASCII characters."
        )
    if name.startswith("sg-"):
        raise InvalidParameterValue(
            f"Value ({name}) for parameter GroupName is invalid. Group names may not be in the"
            " format sg-*"
        )
    if name == "default":
        raise InvalidParameterValue("Cannot use reserved security group name: default")


def check_description(description: str) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html"""
    if len(description) > DESCRIPTION_CHARACTERS_MAX or not description.isascii():
        raise InvalidParameterValue(
            f"Value ({description}) for parameter GroupDescription is invalid. A description has"
            f" at most {DESCRIPTION_CHARACTERS_MAX} ASCII characters."
        )
