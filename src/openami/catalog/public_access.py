"""Block public access in SQL."""

from sqlalchemy import delete, insert, select

from openami.catalog.catalog import Transaction
from openami.catalog.schema import public_access_blocks as blocks
from openami.domain.ids import AccountId, Region
from openami.domain.public_access import PublicAccess, Shareable


def of(tx: Transaction, kind: Shareable, account: AccountId, region: Region) -> PublicAccess:
    query = select(blocks.c.access).where(
        blocks.c.account == account, blocks.c.region == region, blocks.c.kind == kind
    )
    return tx.scalar(query) or PublicAccess.UNBLOCKED


def put(
    tx: Transaction, kind: Shareable, account: AccountId, region: Region, access: PublicAccess
) -> None:
    tx.execute(
        delete(blocks).where(
            blocks.c.account == account, blocks.c.region == region, blocks.c.kind == kind
        )
    )
    if access is not PublicAccess.UNBLOCKED:
        tx.execute(insert(blocks).values(account=account, region=region, kind=kind, access=access))
