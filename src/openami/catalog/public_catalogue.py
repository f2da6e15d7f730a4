"""The public catalogue in SQL: who stands behind an alias, which parameter names an image.

An alias ("amazon") is an account's; a public parameter is one below /aws/service/ of such an
account, and names an image while its newest version does.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import ColumnElement, and_, select

from openami.catalog import filters, prepared
from openami.catalog.catalog import Transaction
from openami.catalog.filters import Condition
from openami.catalog.schema import accounts, images, parameter_versions, parameters
from openami.domain.ids import ImageId
from openami.domain.image import Image
from openami.domain.parameter import PUBLIC_PREFIX

_OWNER: Final = and_(accounts.c.id == images.c.owner, accounts.c.alias.is_not(None))
_NAMES: Final = and_(
    parameters.c.owner == images.c.owner,
    parameters.c.region == images.c.region,
    parameters.c.name.startswith(PUBLIC_PREFIX, autoescape=True),
    parameter_versions.c.parameter_id == parameters.c.id,
    parameter_versions.c.version == parameters.c.version,
    parameter_versions.c.image_id == images.c.id,
    _OWNER,
)
ALIAS: Final = (
    select(accounts.c.alias)
    .where(accounts.c.id == images.c.owner)
    .scalar_subquery()
    .label("owner_alias")
)
"""That of an image's owner."""
_PARAMETERS: Final = prepared.Prepared(
    select(images.c.id, parameters.c.name)
    .where(images.c.id.in_(prepared.IDS), _NAMES)
    .order_by(parameters.c.name.desc())
)

FILTERS: Final[Mapping[str, Condition]] = {
    "owner-alias": filters.child(_OWNER, accounts.c.alias),
    "public-ssm-parameter-name": filters.child(_NAMES, parameters.c.name),
}


def owned_by_alias(aliases: Sequence[str]) -> ColumnElement[bool]:
    of_these = select(accounts.c.id).where(accounts.c.alias.in_(aliases))
    return images.c.owner.in_(of_these)


def parameter_names(tx: Transaction, found: Iterable[Image]) -> Mapping[ImageId, str]:
    """Image id → the public parameter that names it, of those that are of the catalogue."""
    ids = [image.id for image in found if image.owner_alias is not None]
    return {row.id: row.name for row in _PARAMETERS.rows_of(tx, ids)}
