"""The settings of accounts for their instances, in SQL."""

from sqlalchemy import delete, insert, select

from openami.catalog.catalog import Transaction
from openami.catalog.schema import instance_settings as table
from openami.domain.ids import AccountId, Region
from openami.domain.instance_settings import InstanceSettings


def of(tx: Transaction, account: AccountId, region: Region) -> InstanceSettings:
    query = select(table).where(table.c.account == account, table.c.region == region)
    row = tx.execute(query).mappings().first()
    if row is None:
        return InstanceSettings(account=account, region=region)
    return InstanceSettings(**{str(name): value for name, value in row.items()})


def put(tx: Transaction, settings: InstanceSettings) -> None:
    mine = (table.c.account == settings.account) & (table.c.region == settings.region)
    tx.execute(delete(table).where(mine))
    values = {column.name: getattr(settings, column.name) for column in table.columns}
    tx.execute(insert(table).values(values))
