"""Builders for what an instance knows about itself, and fakes of time and chance."""

from datetime import UTC, datetime, timedelta

from openami.domain.metadata import Metadata, PublicKey, SecurityGroupName


class StoppedClock:
    """Time that only moves when told."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class CountingIds:
    """Chance that counts: `secret` sets apart two processes."""

    def __init__(self, secret: str = "first") -> None:
        self.secret = secret

    def new(self, prefix: str) -> str:
        return f"{prefix}-{0:017x}"

    def request_id(self) -> str:
        return "request"

    def token(self, byte_count: int) -> str:
        return self.secret * byte_count


def a_metadata(**changes: object) -> Metadata:
    given: dict[str, object] = {
        "instance_id": "i-0123456789abcdef0",
        "image_id": "ami-0123456789abcdef0",
        "instance_type": "t3.micro",
        "architecture": "x86_64",
        "reservation_id": "r-0123456789abcdef0",
        "account": "111122223333",
        "region": "us-east-1",
        "availability_zone": "us-east-1a",
        "pending_time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "hostname": "ip-10-113-240-5.ec2.internal",
        "mac": "06:00:0a:71:f0:05",
        "private_ip": "10.113.240.5",
        "network_interface_id": "eni-0123456789abcdef0",
        "subnet_id": "subnet-0123456789abcdef0",
        "subnet_cidr": "10.113.240.0/24",
        "vpc_id": "vpc-0123456789abcdef0",
        "vpc_cidr": "10.113.240.0/20",
        "security_groups": (SecurityGroupName(group_id="sg-0123456789abcdef0", name="default"),),
        "public_keys": (PublicKey(name="mine", openssh_text="ssh-ed25519 AAAA mine"),),
        "block_devices": {"ami": "/dev/sda1", "root": "/dev/sda1"},
    }
    return Metadata(**(given | changes))  # type: ignore[arg-type]
