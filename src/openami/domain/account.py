"""An account and the access keys that speak for it."""

from dataclasses import dataclass
from datetime import datetime

from openami.domain.ids import AccountId


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
