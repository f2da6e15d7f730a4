"""The rules of images: who sees, uses, shares, changes and retires one."""

from dataclasses import dataclass, field
from datetime import datetime

from support.rules.retention import DAY, HOUR, SHARED
from support.rules.snapshots import NO_SNAPSHOT, NOT_YOURS, RuledSnapshot, SnapshotRules

NO_IMAGE, GONE = "InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"
WRONG_STATE = "IncorrectState"


@dataclass(kw_only=True)
class RuledImage:
    owner: str
    name: str
    snapshot: str
    created: datetime
    state: str = "available"
    public: bool = False
    shared: set[str] = field(default_factory=set)
    deprecated: datetime | None = None
    protection: str = "none"
    cooldown_until: datetime | None = None
    deregistered: datetime | None = None
    bin_until: datetime | None = None
    was: str = ""


@dataclass(kw_only=True)
class Rules(SnapshotRules):
    """All that several accounts have in one region. An image in the Recycle Bin is deregistered.

    `places` is where an account is in the organization: "unit", or "org" outside of its unit.
    """

    images: dict[str, RuledImage] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    places: dict[str, str] = field(default_factory=dict)

    def sees(self, account: str, image: RuledImage) -> bool:
        if account == image.owner:
            return True
        if image.state == "disabled":
            return False
        return image.public or account in image.shared or self._shared_with_group(account, image)

    def _shared_with_group(self, account: str, image: RuledImage) -> bool:
        place = self.places.get(account)
        return place in image.shared or (place == "unit" and "org" in image.shared)

    def look(self, account: str, image_id: str) -> str:
        image = self.images.get(image_id)
        if image is None or not self.sees(account, image):
            return NO_IMAGE
        return GONE if image.state == "deregistered" else ""

    def look_as_owner(self, account: str, image_id: str) -> str:
        refusal = self.look(account, image_id)
        return refusal or ("" if self.images[image_id].owner == account else NOT_YOURS)

    def listed(self, account: str, *, disabled: bool, deprecated: bool) -> set[str]:
        return {
            image_id
            for image_id, image in self.images.items()
            if self.sees(account, image)
            and image.state != "deregistered"
            and (disabled or image.state != "disabled")
            and (deprecated or image.owner == account or not self.out_of_date(image))
        }

    def out_of_date(self, image: RuledImage) -> bool:
        at = self.out_of_date_at(image)
        return at is not None and self.now >= at

    def out_of_date_at(self, image: RuledImage) -> datetime | None:
        """A public one after two years at the latest, whatever its owner says."""
        of_age = [image.created + 731 * DAY] if image.public else []
        asked = [] if image.deprecated is None else [image.deprecated]
        return min(of_age + asked, default=None)

    def register(self, account: str, name: str, snapshot_id: str, image_id: str) -> str:
        if self._is_taken(account, name):
            return "InvalidAMIName.Duplicate"
        refusal = self.look_at_snapshot(account, snapshot_id)
        if not refusal:
            self.images[image_id] = RuledImage(
                owner=account, name=name, snapshot=snapshot_id, created=self.now
            )
        return refusal

    def copy(
        self, account: str, image_id: str, name: str, *, copy_tags: bool, copied: tuple[str, str]
    ) -> str:
        """`copied`: the new image and its snapshot, the account's own and nobody else's."""
        refusal = self.look(account, image_id)
        if refusal:
            return refusal
        if self._is_taken(account, name):
            return "InvalidAMIName.Duplicate"
        source = self.images[image_id]
        if self.look_at_snapshot(account, source.snapshot):
            return "InvalidRequest"
        copy_id, snapshot_id = copied
        self.snapshots[snapshot_id] = RuledSnapshot(owner=account)
        self.images[copy_id] = RuledImage(
            owner=account, name=name, snapshot=snapshot_id, created=self.now
        )
        if copy_tags:
            self.tags[account, copy_id] = self.tags_seen(account, source.owner, image_id)
        return ""

    def tag(self, account: str, image_id: str, key: str, value: str | None) -> str:
        """All who see an image tag it, each for itself; the owner, for all of them."""
        image = self.images.get(image_id)
        if image is None or not self.sees(account, image):
            return NO_IMAGE
        refusal = self.look_as_owner(account, image_id) if key.startswith(SHARED) else ""
        if not refusal:
            self.put_tag(account, image_id, key, value)
        return refusal

    def permissions(self, account: str, image_id: str) -> tuple[str, set[str]]:
        """Whom the owner has given the image."""
        refusal = self.look_as_owner(account, image_id)
        if refusal:
            return refusal, set()
        image = self.images[image_id]
        return "", image.shared | ({"all"} if image.public else set())

    def _is_taken(self, account: str, name: str) -> bool:
        return any(
            (image.owner, image.name) == (account, name) and image.state != "deregistered"
            for image in self.images.values()
        )

    def launch(self, account: str, image_id: str) -> str:
        refusal = self.look(account, image_id)
        if refusal:
            return refusal
        image = self.images[image_id]
        if image.state != "available":
            return GONE
        return "" if image.snapshot in self.snapshots else NO_SNAPSHOT

    def deregister(self, account: str, image_id: str, *, delete: bool) -> str:
        refusal = self.look_as_owner(account, image_id)
        if refusal:
            return refusal
        image = self.images[image_id]
        cooling = image.cooldown_until is not None and self.now < image.cooldown_until
        if image.protection != "none" or cooling:
            return "OperationNotPermitted"
        image.was, image.state, image.deregistered = image.state, "deregistered", self.now
        image.bin_until = self.bin_until(account, "image", image_id)
        snapshot = self.snapshots.get(image.snapshot)
        mine = snapshot is not None and snapshot.owner == account
        if delete and mine and not self.used(image.snapshot) and not self.locked(image.snapshot):
            self.drop_snapshot(image.snapshot)
        return ""

    def in_bin(self, account: str) -> dict[str, datetime]:
        """What the account has in the bin, and when it leaves it."""
        return {
            key: each.bin_until
            for key, each in [
                *self.images.items(),
                *self.binned.items(),
                *self.volumes.items(),
            ]
            if each.owner == account and each.bin_until is not None
        }

    def restore_image(self, account: str, image_id: str) -> str:
        image = self.images.get(image_id)
        if image is None or image.owner != account:
            return NO_IMAGE
        if image.bin_until is None or image.bin_until <= self.now:
            return NO_IMAGE
        if self._is_taken(account, image.name):
            return "InvalidAMIName.Duplicate"
        if self.look_at_snapshot(account, image.snapshot):
            return WRONG_STATE
        image.state, image.deregistered, image.bin_until = image.was, None, None
        return ""

    def used(self, snapshot_id: str) -> bool:
        owner = self.snapshots[snapshot_id].owner
        return any(
            (image.snapshot, image.owner) == (snapshot_id, owner) and image.state != "deregistered"
            for image in self.images.values()
        )

    def share(self, account: str, image_id: str, whom: str, *, add: bool) -> str:
        refusal = self.look_as_owner(account, image_id)
        if refusal:
            return refusal
        image = self.images[image_id]
        if image.state != "available":
            return WRONG_STATE
        if whom == "all":
            if add and account in self.blocked:
                return "OperationNotPermitted"
            image.public = add
        else:
            (image.shared.add if add else image.shared.discard)(whom)
        return ""

    def unshare(self, account: str, image_id: str) -> str:
        refusal = self.look_as_owner(account, image_id)
        if not refusal:
            self.images[image_id].public = False
            self.images[image_id].shared = set()
        return refusal

    def cancel(self, account: str, image_id: str) -> str:
        refusal = self.look(account, image_id)
        if refusal:
            return refusal
        if account not in self.images[image_id].shared:
            return "InvalidRequest"
        self.images[image_id].shared.discard(account)
        return ""

    def switch(self, account: str, image_id: str, *, on: bool) -> str:
        refusal = self.look_as_owner(account, image_id)
        if refusal:
            return refusal
        image = self.images[image_id]
        if image.state != ("disabled" if on else "available"):
            return WRONG_STATE
        image.state = "available" if on else "disabled"
        if not on:
            image.public, image.shared = False, set()
        return ""

    def deprecate(self, account: str, image_id: str, at: datetime | None) -> str:
        refusal = self.look_as_owner(account, image_id)
        if refusal:
            return refusal
        image = self.images[image_id]
        if at is not None:
            too_late = image.public and at > image.created + 731 * DAY
            if at < self.now or at > self.now + 3653 * DAY or too_late:
                return "InvalidParameterValue"
        image.deprecated = at
        return ""

    def protect(self, account: str, image_id: str, kind: str) -> str:
        refusal = self.look_as_owner(account, image_id)
        if refusal:
            return refusal
        image = self.images[image_id]
        if kind == "none":
            if image.protection == "with cooldown":
                image.cooldown_until = self.now + DAY
        else:
            image.cooldown_until = None
        image.protection = kind
        return ""

    def sweep(self) -> None:
        """The bin is emptied, and of what is not in it what was deregistered an hour ago is
        forgotten."""
        self.empty_bin_of_volumes()
        self.empty_bin_of_snapshots()
        for image_id, image in list(self.images.items()):
            if image.bin_until is not None and image.bin_until <= self.now:
                image.bin_until = None
            long_gone = image.deregistered is not None and image.deregistered < self.now - HOUR
            if long_gone and image.bin_until is None:
                del self.images[image_id]
