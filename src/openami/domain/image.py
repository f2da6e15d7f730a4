"""An image: what it boots from, who may see and launch it, and what may happen to it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from openami.domain.block_device import BlockDeviceMapping
from openami.domain.errors import EC2Error
from openami.domain.ids import AccountId, ImageId, InstanceId, OrganizationArn, Region
from openami.domain.image_retirement import (
    COOLDOWN,
    PUBLIC_DEPRECATION_MAX,
    DeregistrationProtection,
    check_unprotected,
    checked_deprecation,
)
from openami.domain.instance_types.specification import ANY_TYPE, InstanceTypeSpecification
from openami.domain.lifecycle import advance
from openami.domain.state_reason import StateReason
from openami.domain.watermark import Watermark


class ImageState(StrEnum):
    PENDING = "pending"
    AVAILABLE = "available"
    DISABLED = "disabled"
    FAILED = "failed"
    DEREGISTERED = "deregistered"


class ImageEvent(StrEnum):
    SNAPSHOTS_COMPLETED = "the completion of its snapshots"
    SNAPSHOT_FAILED = "the failure of a snapshot"
    DISABLE = "DisableImage"
    ENABLE = "EnableImage"
    DEREGISTER = "DeregisterImage"
    RESTORE = "RestoreImageFromRecycleBin"


S, E = ImageState, ImageEvent

TRANSITIONS: Final[Mapping[tuple[ImageState, ImageEvent], ImageState]] = {
    (S.PENDING, E.SNAPSHOTS_COMPLETED): S.AVAILABLE,
    (S.PENDING, E.SNAPSHOT_FAILED): S.FAILED,
    (S.AVAILABLE, E.DISABLE): S.DISABLED,
    (S.DISABLED, E.ENABLE): S.AVAILABLE,
    (S.PENDING, E.DEREGISTER): S.DEREGISTERED,
    (S.AVAILABLE, E.DEREGISTER): S.DEREGISTERED,
    (S.DISABLED, E.DEREGISTER): S.DEREGISTERED,
    (S.FAILED, E.DEREGISTER): S.DEREGISTERED,
    (S.DEREGISTERED, E.RESTORE): S.AVAILABLE,
}

_NAME: Final = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}")


def checked_image_name(name: str) -> str:
    """`name` if EC2 accepts it (RegisterImage, parameter Name): 3-128 of a few characters."""
    if _NAME.fullmatch(name) is None:
        raise EC2Error.of(
            "InvalidAMIName.Malformed",
            f"AMI name '{name}' is invalid: AMI names must be between 3 and 128 characters long,"
            " and may contain letters, numbers, '(', ')', '[', ']', ' ', '.', '/', '-', ''', '@'"
            " and '_'",
        )
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An AMI. Its content, name and mappings never change; see TRANSITIONS for what does."""

    id: ImageId
    region: Region
    owner: AccountId
    name: str
    state: ImageState
    root_device_name: str
    block_device_mappings: tuple[BlockDeviceMapping, ...]
    created_at: datetime
    description: str | None = None
    location: str = ""
    architecture: str = "x86_64"
    virtualization_type: str = "hvm"
    boot_mode: str | None = None
    ena_support: bool = False
    sriov_net_support: str | None = None
    tpm_support: str | None = None
    imds_support: str | None = None
    kernel_id: str | None = None
    ramdisk_id: str | None = None
    platform: str | None = None
    source_instance_id: InstanceId | None = None
    source_image_id: ImageId | None = None
    source_image_region: Region | None = None
    last_launched_at: datetime | None = None
    deregistered_at: datetime | None = None
    state_reason: StateReason | None = None
    deprecated_at: datetime | None = None
    deregistration_protection: DeregistrationProtection = DeregistrationProtection.DISABLED
    protected_until: datetime | None = None
    public: bool = False
    shared_with: frozenset[AccountId] = frozenset()
    shared_with_organizations: frozenset[OrganizationArn] = frozenset()
    watermarks: tuple[Watermark, ...] = ()
    instance_types: InstanceTypeSpecification = ANY_TYPE
    owner_alias: str | None = None  # the owner's; it goes with its account

    def after(self, event: ImageEvent, reason: StateReason | None = None) -> "Image":
        state = advance(TRANSITIONS, self.id, self.state, event)
        return replace(self, state=state, state_reason=reason)

    def deregistered(self, at: datetime) -> "Image":
        """Raises OperationNotPermitted while it is protected from that."""
        check_unprotected(self.id, self.deregistration_protection, self.protected_until, at)
        return replace(self.after(ImageEvent.DEREGISTER), deregistered_at=at)

    def unshared(self) -> "Image":
        """Without any launch permission."""
        return replace(
            self, public=False, shared_with=frozenset(), shared_with_organizations=frozenset()
        )

    def restored(self, was: str) -> "Image":
        """Out of the Recycle Bin, as available or as disabled as it `was`."""
        back = replace(self.after(ImageEvent.RESTORE), deregistered_at=None)
        return back.disabled() if was == ImageState.DISABLED else back

    def disabled(self) -> "Image":
        """Nobody launches it, and nobody but its owner sees it. Its permissions do not return."""
        return self.unshared().after(ImageEvent.DISABLE)

    def deprecated(self, asked: datetime, now: datetime) -> "Image":
        """Raises InvalidParameterValue for a moment that EC2 does not take."""
        created = self.created_at if self.public else None
        return replace(self, deprecated_at=checked_deprecation(asked, now, created))

    @property
    def deprecation_time(self) -> datetime | None:
        """From when others do not find it in listings. A public one never counts as new for long.

        https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-deprecate.html
        """
        if not self.public:
            return self.deprecated_at
        latest = self.created_at + PUBLIC_DEPRECATION_MAX
        return latest if self.deprecated_at is None else min(latest, self.deprecated_at)

    def protected(self, with_cooldown: bool) -> "Image":
        kind = DeregistrationProtection.ENABLED
        if with_cooldown:
            kind = DeregistrationProtection.ENABLED_WITH_COOLDOWN
        return replace(self, deregistration_protection=kind, protected_until=None)

    def unprotected(self, now: datetime) -> "Image":
        """Not protected, or not for longer than the cooldown that its protection was given."""
        disabled = replace(self, deregistration_protection=DeregistrationProtection.DISABLED)
        if self.deregistration_protection is DeregistrationProtection.ENABLED_WITH_COOLDOWN:
            return replace(disabled, protected_until=now + COOLDOWN)
        return disabled

    def visible_to(
        self, account: AccountId, memberships: frozenset[OrganizationArn] = frozenset()
    ) -> bool:
        """Launch permission is also permission to see; a disabled image is its owner's alone.

        `memberships` are the organization of the account and all units that it is in.
        """
        if account == self.owner:
            return True
        if self.state is ImageState.DISABLED:
            return False
        return (
            self.public
            or account in self.shared_with
            or not memberships.isdisjoint(self.shared_with_organizations)
        )

    @property
    def root_device_type(self) -> str:
        """The text "ebs" if the root device is an EBS volume, else "instance-store"."""
        for mapping in self.block_device_mappings:
            if mapping.device_name == self.root_device_name:
                return "ebs" if mapping.ebs is not None else "instance-store"
        return "instance-store"
