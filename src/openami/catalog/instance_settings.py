"""The settings of accounts for their instances, in SQL."""

from typing import Final

from sqlalchemy import bindparam, delete, insert, select

from openami.catalog import prepared
from openami.catalog.catalog import Transaction
from openami.catalog.schema import instance_settings as table
from openami.domain.ids import AccountId, Region
from openami.domain.instance_settings import InstanceSettings

_OF: Final = prepared.Prepared(
    select(table).where(
        table.c.account == bindparam("its_account"), table.c.region == bindparam("its_region")
    )
)


def of(tx: Transaction, account: AccountId, region: Region) -> InstanceSettings:
    found = _OF.rows(tx, its_account=account, its_region=region)
    if not found:
        return InstanceSettings(account=account, region=region)
    return InstanceSettings(**prepared.fields(found[0]))


def put(tx: Transaction, settings: InstanceSettings) -> None:
    mine = (table.c.account == settings.account) & (table.c.region == settings.region)
    tx.execute(delete(table).where(mine))
    values = {column.name: getattr(settings, column.name) for column in table.columns}
    tx.execute(insert(table).values(values))
