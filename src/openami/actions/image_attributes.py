"""What may change about an image: its description, who may launch it, and that it wants IMDSv2.

Its content, its name and its devices never do.
"""

from dataclasses import dataclass, replace

from openami.actions.quotas import Quota, check_count, check_room
from openami.catalog import accounts, images, organizations, public_access
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.errors import (
    EC2Error,
    IncorrectState,
    InvalidRequest,
    OperationNotPermitted,
)
from openami.domain.ids import AccountId, ImageId, OrganizationArn
from openami.domain.image import Image, ImageState
from openami.domain.organization import is_organization_arn
from openami.domain.public_access import Shareable, check_public_sharing
from openami.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """Those who may launch an image beside its owner; `everybody` is the group "all"."""

    accounts: frozenset[AccountId] = frozenset()
    organizations: frozenset[OrganizationArn] = frozenset()
    everybody: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PermissionChange:
    """Launch permissions to give and to take."""

    add: Permissions = Permissions()
    remove: Permissions = Permissions()


def fetch_own_image(svc: Services, caller: Caller, image_id: ImageId) -> Image:
    """The image with all its attributes, for its owner. Raises AuthFailure for others."""
    with svc.catalog.read() as tx:
        return images.fetch_owned(tx, image_id, caller.account, caller.region)


def modify_description(svc: Services, caller: Caller, image_id: ImageId, description: str) -> None:
    """Give the image another description."""
    with svc.catalog.begin() as tx:
        image = images.fetch_owned(tx, image_id, caller.account, caller.region)
        images.save(tx, replace(image, description=description))


def require_imds_v2(svc: Services, caller: Caller, image_id: ImageId) -> None:
    """From now on its instances speak IMDSv2 only. There is no way back."""
    with svc.catalog.begin() as tx:
        image = images.fetch_owned(tx, image_id, caller.account, caller.region)
        images.save(tx, replace(image, imds_support="v2.0"))


def modify_launch_permission(
    svc: Services, caller: Caller, image_id: ImageId, change: PermissionChange
) -> None:
    """Share it with accounts or with all, or stop that: all of the change, or nothing of it."""
    with svc.catalog.begin() as tx:
        image = images.fetch_owned(tx, image_id, caller.account, caller.region)
        if image.state not in (ImageState.PENDING, ImageState.AVAILABLE):
            raise IncorrectState(image_id, image.state, "ModifyImageAttribute")
        _check_known(tx, change.add)
        if change.add.everybody:
            _check_may_be_public(tx, image)
        changed = _changed(image, change)
        if change.add.everybody and not image.public:
            check_room(svc, tx, Quota.PUBLIC_IMAGES, image.owner, image.region)
        shares = len(changed.shared_with) + len(changed.shared_with_organizations)
        if change.add != Permissions():
            check_count(svc, Quota.IMAGE_SHARES, shares)
        images.save(tx, changed)


def _check_may_be_public(tx: Transaction, image: Image) -> None:
    access = public_access.of(tx, Shareable.IMAGE, image.owner, image.region)
    check_public_sharing(access, Shareable.IMAGE)
    if image.watermarks:
        raise OperationNotPermitted(
            f"The image '{image.id}' has watermarks: it cannot be made public."
        )


def _check_known(tx: Transaction, given: Permissions) -> None:
    for account in sorted(given.accounts):
        if accounts.find(tx, account) is None:
            raise bad_item(account, "userId")
    for arn in sorted(given.organizations):
        if not organizations.exists(tx, arn):
            organization = is_organization_arn(arn)
            raise bad_item(arn, "OrganizationArn" if organization else "OrganizationalUnitArn")


def _changed(image: Image, change: PermissionChange) -> Image:
    add, remove = change.add, change.remove
    arns = (image.shared_with_organizations | add.organizations) - remove.organizations
    return replace(
        image,
        public=(image.public or add.everybody) and not remove.everybody,
        shared_with=(image.shared_with | add.accounts) - remove.accounts,
        shared_with_organizations=arns,
    )


def reset_launch_permission(svc: Services, caller: Caller, image_id: ImageId) -> None:
    """Nobody but the owner may see and launch it again."""
    with svc.catalog.begin() as tx:
        image = images.fetch_owned(tx, image_id, caller.account, caller.region)
        images.save(tx, image.unshared())


def cancel_launch_permission(svc: Services, caller: Caller, image_id: ImageId) -> None:
    """The caller gives up an image that was shared with its account; what runs is left alone."""
    with svc.catalog.begin() as tx:
        image = images.fetch_visible(tx, image_id, caller.account, caller.region)
        if caller.account not in image.shared_with:
            raise InvalidRequest(
                f"The image {image_id} is not shared with the account {caller.account} itself:"
                " a permission of all, of an organization or of a unit cannot be cancelled."
            )
        images.save(tx, replace(image, shared_with=image.shared_with - {caller.account}))


def bad_item(value: str, kind: str) -> EC2Error:
    return EC2Error.of(
        "InvalidAMIAttributeItemValue",
        f'Invalid attribute item value "{value}" for {kind} item type.',
    )
