"""Just enough Services for the request pipeline: a real catalog with one account and its key."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from threading import Lock

from openami.catalog import accounts
from openami.catalog.catalog import Catalog
from openami.domain.account import AccessKey, Account
from openami.domain.ids import AccountId
from openami.domain.limits.throttle import Throttle
from openami.settings import Settings
from support.signing import KEY_ID, SECRET

ACCOUNT = AccountId("111122223333")
FOUNDED = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class SetClock:
    """Stands where it is put. Signers read the real time, so tests put it there."""

    instant: datetime = FOUNDED

    def now(self) -> datetime:
        return self.instant


@dataclass
class CountedRequests:
    _count: Iterator[int] = field(default_factory=lambda: count(1))

    def request_id(self) -> str:
        return f"req-{next(self._count)}"


@dataclass(frozen=True, kw_only=True)
class FrontDesk:
    """What of Services the pipeline touches itself."""

    settings: Settings = field(default_factory=Settings)
    catalog: Catalog
    clock: SetClock = field(default_factory=SetClock)
    throttle: Throttle = field(default_factory=lambda: Throttle(Lock()))
    ids: CountedRequests = field(default_factory=CountedRequests)


def front_desk(settings: Settings | None = None) -> FrontDesk:
    """Its catalog is the caller's to close."""
    catalog = Catalog.in_memory()
    with catalog.begin() as tx:
        accounts.add(tx, Account(id=ACCOUNT, name="test", created_at=FOUNDED))
        key = AccessKey(id=KEY_ID, account=ACCOUNT, secret=SECRET, created_at=FOUNDED)
        accounts.add_key(tx, key)
    return FrontDesk(catalog=catalog, settings=settings or Settings())
