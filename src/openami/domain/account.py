"""An account and the access keys that speak for it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from openami.domain.ids import AccountId

ALIASES: Final = ("amazon", "aws-marketplace", "aws-backup-vault")
"""Owners by name: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImages.html"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    id: AccountId
    name: str
    created_at: datetime
    alias: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """The secret is kept as it is: SigV4 needs it to compute each signature."""

    id: str
    account: AccountId
    secret: str
    created_at: datetime
    active: bool = True
