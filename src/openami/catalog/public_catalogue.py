"""The public catalogue in SQL: who stands behind an alias, which parameter names an image.

An alias ("amazon") is an account's; a public parameter is one below /aws/service/ of such an
account, and names an image while its newest version does.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, and_, select

from openami.catalog import by_ids, filters
from openami.catalog.catalog import Transaction
from openami.catalog.filters import Condition
from openami.catalog.schema import accounts, images, parameter_versions, parameters
from openami.domain.ids import ImageId
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
_ALIASES: Final = select(images.c.id, accounts.c.alias).where(images.c.id.in_(by_ids.IDS), _OWNER)
_PARAMETERS: Final = (
    select(images.c.id, parameters.c.name)
    .where(images.c.id.in_(by_ids.IDS), _NAMES)
    .order_by(parameters.c.name.desc())
)

FILTERS: Final[Mapping[str, Condition]] = {
    "owner-alias": filters.child(_OWNER, accounts.c.alias),
    "public-ssm-parameter-name": filters.child(_NAMES, parameters.c.name),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicEntry:
    """What the catalogue adds to an image of an account with an alias."""

    alias: str
    parameter_name: str | None = None


def owned_by_alias(aliases: Sequence[str]) -> ColumnElement[bool]:
    of_these = select(accounts.c.id).where(accounts.c.alias.in_(aliases))
    return images.c.owner.in_(of_these)


def entries(tx: Transaction, image_ids: Iterable[ImageId]) -> Mapping[ImageId, PublicEntry]:
    """Those of the images that are of the catalogue."""
    aliases = {row.id: row.alias for row in by_ids.rows(tx, _ALIASES, image_ids)}
    names = {row.id: row.name for row in by_ids.rows(tx, _PARAMETERS, aliases)}
    return {
        image_id: PublicEntry(alias=alias, parameter_name=names.get(image_id))
        for image_id, alias in aliases.items()
    }
