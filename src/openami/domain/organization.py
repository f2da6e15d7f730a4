"""An organization of accounts: units in a tree below its root, and the accounts in them.

Forms of the ids and ARNs:
https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_arn-formats.html
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from openami.domain.ids import AccountId, OrganizationArn, OrganizationId

UNIT_NAME_CHARACTERS_MAX: Final = 128

_ORGANIZATION: Final = re.compile(r"arn:aws:organizations::\d{12}:organization/o-[a-z0-9]{10,32}")
_UNIT: Final = re.compile(
    r"arn:aws:organizations::\d{12}:ou/o-[a-z0-9]{10,32}/ou-[a-z0-9]{4,32}-[a-z0-9]{8,32}"
)


def is_organization_arn(text: str) -> bool:
    return _ORGANIZATION.fullmatch(text) is not None


def is_unit_arn(text: str) -> bool:
    return _UNIT.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """Its management account made it and is a member of it."""

    id: OrganizationId
    management_account: AccountId
    created_at: datetime

    @property
    def root_id(self) -> str:
        return f"r-{self.id[-4:]}"

    @property
    def arn(self) -> OrganizationArn:
        return OrganizationArn(
            f"arn:aws:organizations::{self.management_account}:organization/{self.id}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """An organizational unit (OU); its parent is another or the organization's root."""

    id: str
    organization_id: OrganizationId
    parent_id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationTree:
    """A whole organization. `members` are its accounts, each with the unit or root it is in."""

    organization: Organization
    units: Sequence[Unit] = ()
    members: Mapping[AccountId, str] = field(default_factory=dict[AccountId, str])

    def arn_of(self, unit_id: str) -> OrganizationArn:
        top = self.organization
        return OrganizationArn(
            f"arn:aws:organizations::{top.management_account}:ou/{top.id}/{unit_id}"
        )

    def memberships(self, account: AccountId) -> frozenset[OrganizationArn]:
        """What counts the account: the organization, its unit, and every unit above that."""
        if account not in self.members:
            return frozenset()
        parents = {unit.id: unit.parent_id for unit in self.units}
        found = {self.organization.arn}
        place = self.members[account]
        while place in parents:
            found.add(self.arn_of(place))
            place = parents[place]
        return frozenset(found)
