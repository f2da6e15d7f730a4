"""Block public access: an account's own rule against sharing with everybody in a region."""

from openami.catalog import public_access
from openami.domain.caller import Caller
from openami.domain.public_access import PublicAccess, Shareable
from openami.services import Services


def set_public_access(
    svc: Services, caller: Caller, kind: Shareable, access: PublicAccess
) -> PublicAccess:
    """From now on in the caller's region."""
    with svc.catalog.begin() as tx:
        public_access.put(tx, kind, caller.account, caller.region, access)
    return access


def get_public_access(svc: Services, caller: Caller, kind: Shareable) -> PublicAccess:
    """Unblocked for who never said anything."""
    with svc.catalog.read() as tx:
        return public_access.of(tx, kind, caller.account, caller.region)
