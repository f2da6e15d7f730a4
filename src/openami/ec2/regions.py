"""DescribeRegions, DescribeAvailabilityZones, DescribeAccountAttributes."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from openami.actions import regions
from openami.domain.caller import Caller
from openami.domain.errors import InvalidParameterValue
from openami.domain.filter import selected
from openami.domain.ids import Region
from openami.domain.zone import availability_zones, zone_id
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import filters
from openami.services import Services


def describe_regions(svc: Services, caller: Caller, request: Request) -> Result:
    del caller
    known = regions.regions(svc)
    wanted: list[str] = request.get("RegionNames", [])
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise InvalidParameterValue(f"Invalid region: {', '.join(unknown)}")
    at = regions.endpoint(svc)
    table: Mapping[str, Callable[[Region], Iterable[str]]] = {
        "region-name": lambda name: [name],
        "endpoint": lambda _: [at],
        "opt-in-status": lambda _: ["opt-in-not-required"],
    }
    shown = selected(
        [name for name in known if not wanted or name in wanted], filters(request), table
    )
    return {
        "Regions": [
            {"RegionName": name, "Endpoint": at, "OptInStatus": "opt-in-not-required"}
            for name in shown
        ]
    }


_ZONE_FILTERS: Final[Mapping[str, Callable[[str], Iterable[str]]]] = {
    "zone-name": lambda zone: [zone],
    "zone-id": lambda zone: [zone_id(zone)],
    "region-name": lambda zone: [zone[:-1]],
    "group-name": lambda zone: [zone[:-1]],
    "state": lambda _: ["available"],
    "zone-type": lambda _: ["availability-zone"],
    "opt-in-status": lambda _: ["opt-in-not-required"],
}


def describe_availability_zones(svc: Services, caller: Caller, request: Request) -> Result:
    del svc
    zones = availability_zones(caller.region)
    names, ids = request.get("ZoneNames", ()), request.get("ZoneIds", ())
    by_id = {zone_id(zone): zone for zone in zones}
    unknown = [name for name in names if name not in zones]
    unknown += [each for each in ids if each not in by_id]
    if unknown:
        raise InvalidParameterValue(f"Invalid availability zone: [{', '.join(unknown)}]")
    wanted = {*names, *(by_id[each] for each in ids)} or set(zones)
    shown = selected([zone for zone in zones if zone in wanted], filters(request), _ZONE_FILTERS)
    return {
        "AvailabilityZones": [
            {
                "ZoneName": zone,
                "ZoneId": zone_id(zone),
                "RegionName": caller.region,
                "GroupName": caller.region,
                "NetworkBorderGroup": caller.region,
                "ZoneType": "availability-zone",
                "State": "available",
                "OptInStatus": "opt-in-not-required",
                "Messages": [],
            }
            for zone in shown
        ]
    }


def describe_account_attributes(svc: Services, caller: Caller, request: Request) -> Result:
    attributes = regions.account_attributes(svc, caller)
    wanted = request.get("AttributeNames") or list(attributes)
    unknown = [name for name in wanted if name not in attributes]
    if unknown:
        raise InvalidParameterValue(
            f"Value ({unknown[0]}) for parameter attributeName is invalid. Unknown attribute."
        )
    return {
        "AccountAttributes": [
            {
                "AttributeName": name,
                "AttributeValues": [{"AttributeValue": value} for value in attributes[name]],
            }
            for name in wanted
        ]
    }


OPERATIONS: Final[Mapping[str, Operation]] = {
    "DescribeRegions": operation(describe_regions, "RegionNames", "AllRegions", "Filters"),
    "DescribeAvailabilityZones": operation(
        describe_availability_zones, "ZoneNames", "ZoneIds", "AllAvailabilityZones", "Filters"
    ),
    "DescribeAccountAttributes": operation(describe_account_attributes, "AttributeNames"),
}
