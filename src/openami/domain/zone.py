"""The availability zones of a region: three of them, named and numbered as EC2 does.

https://docs.aws.amazon.com/global-infrastructure/latest/regions/az-ids.html
"""

import re
from collections.abc import Sequence
from typing import Final

from openami.domain.errors import InvalidParameterValue
from openami.domain.filter import as_regex
from openami.domain.ids import Region

_LETTERS: Final = "abc"
_DIRECTIONS: Final = (
    ("northeast", "ne"),
    ("northwest", "nw"),
    ("southeast", "se"),
    ("southwest", "sw"),
    ("north", "n"),
    ("south", "s"),
    ("east", "e"),
    ("west", "w"),
    ("central", "c"),
)
_EC2_REGION: Final = re.compile(r"[a-z]+(-[a-z]+)+-[0-9]+")


def availability_zones(region: Region) -> tuple[str, ...]:
    """The region's zones: `us-east-1a`, `us-east-1b`, `us-east-1c`."""
    return tuple(f"{region}{letter}" for letter in _LETTERS)


def checked_zone(zone: str, region: Region) -> str:
    """`zone` if the region has it. Raises InvalidParameterValue in EC2's words."""
    zones = availability_zones(region)
    if zone not in zones:
        raise InvalidParameterValue(
            f"Invalid availability zone: [{zone}]."
            f" It must be one of {', '.join(zones)} in the region {region}."
        )
    return zone


def zone_id(zone: str) -> str:
    """The id of a zone: `use1-az1` for `us-east-1a`. Regions named otherwise keep their name."""
    region, number = zone[:-1], _LETTERS.index(zone[-1]) + 1
    if _EC2_REGION.fullmatch(region) is None:
        return f"{region}-az{number}"
    country, *middle, last = region.split("-")
    direction = dict(_DIRECTIONS)
    short = "".join(direction.get(word, word[0]) for word in middle)
    return f"{country}{short}{last}-az{number}"


def zone_of_id(wanted: str, region: Region) -> str:
    """The region's zone of this id. Raises InvalidParameterValue."""
    by_id = {zone_id(zone): zone for zone in availability_zones(region)}
    if wanted not in by_id:
        raise InvalidParameterValue(f"Invalid availability zone id: [{wanted}]")
    return by_id[wanted]


def zones_by_id(patterns: Sequence[str], region: Region) -> tuple[str, ...]:
    """The region's zones whose id matches one of a filter's values."""
    wanted = [as_regex(each) for each in patterns]
    return tuple(
        zone
        for zone in availability_zones(region)
        if any(each.fullmatch(zone_id(zone)) for each in wanted)
    )
