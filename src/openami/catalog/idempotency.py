"""Client tokens: the same request twice is one effect.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Run_Instance_Idempotency.html
"""

from datetime import datetime

from sqlalchemy import insert, select

from openami.catalog.catalog import Transaction
from openami.catalog.schema import idempotency_tokens as tokens
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error
from openami.domain.idempotency import ClientToken


def earlier(tx: Transaction, caller: Caller, given: ClientToken | None) -> str | None:
    """The id of what the token made before, or None. To be asked in the transaction that makes.

    Raises IdempotentParameterMismatch if the token came with other parameters then.
    """
    if given is None:
        return None
    row = tx.execute(
        select(tokens).where(
            tokens.c.account == caller.account,
            tokens.c.region == caller.region,
            tokens.c.operation == given.operation,
            tokens.c.token == given.token,
        )
    ).first()
    if row is None:
        return None
    if row.fingerprint != given.fingerprint:
        raise EC2Error.of(
            "IdempotentParameterMismatch",
            "Arguments on this idempotent request are inconsistent with arguments used in"
            " previous request(s).",
        )
    return str(row.resource_id)


def remember(
    tx: Transaction, caller: Caller, given: ClientToken | None, resource_id: str, at: datetime
) -> None:
    """Bind the token to what was made, in the same transaction that made it."""
    if given is None:
        return
    tx.execute(
        insert(tokens).values(
            account=caller.account,
            region=caller.region,
            operation=given.operation,
            token=given.token,
            fingerprint=given.fingerprint,
            resource_id=resource_id,
            created_at=at,
        )
    )
