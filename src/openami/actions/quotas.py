"""Quotas, checked in the transaction that adds: two callers at once cannot exceed one."""

from openami.catalog.catalog import Transaction
from openami.catalog.limits import quotas
from openami.domain.ids import AccountId, Region
from openami.domain.limits import quota as rules
from openami.domain.limits.quota import Quota as Quota
from openami.services import Services


def check_room(
    svc: Services,
    tx: Transaction,
    quota: Quota,
    account: AccountId,
    region: Region,
    more: int = 1,
) -> None:
    """Raises the quota's error when `more` are more than the account may have in the region."""
    limit = svc.settings.quota(quota)
    if limit:
        rules.check(quota, limit, quotas.held(tx, quota, account, region, limit) + more)


def check_count(svc: Services, quota: Quota, count: int) -> None:
    """The same of a quota of one resource, which would have `count`."""
    rules.check(quota, svc.settings.quota(quota), count)
