"""What an account finds before it makes anything: regions, zones, limits."""

from urllib.parse import urlsplit

from openami.actions.network import default_network
from openami.domain.caller import Caller
from openami.domain.ids import Region
from openami.domain.launch import COUNT_MAX
from openami.services import Services


def regions(svc: Services) -> tuple[Region, ...]:
    return tuple(Region(name) for name in svc.settings.regions)


def endpoint(svc: Services) -> str:
    """Host and port at which clients reach every region of this server."""
    base = svc.settings.public_base_url
    if base:
        return urlsplit(base if "//" in base else f"//{base}").netloc
    return f"{svc.settings.host}:{svc.settings.port}"


def account_attributes(svc: Services, caller: Caller) -> dict[str, list[str]]:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AccountAttribute.html"""
    return {
        "supported-platforms": ["VPC"],
        "default-vpc": [default_network(svc, caller).vpc.id],
        "max-instances": [str(COUNT_MAX)],
        "vpc-max-security-groups-per-interface": ["5"],
        "max-elastic-ips": ["0"],
        "vpc-max-elastic-ips": ["0"],
    }
