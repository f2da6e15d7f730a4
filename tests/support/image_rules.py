"""The rules of who may do what to images and snapshots, as plain as they can be said.

No SQL, no states that are tables, no requests: what a test holds the real thing against. Each
method gives the code of the refusal, or "" and the change is made.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NO_IMAGE, GONE, NOT_YOURS = "InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "AuthFailure"
NO_SNAPSHOT = "InvalidSnapshot.NotFound"


@dataclass(kw_only=True)
class RuledLock:
    mode: str
    ends: datetime
    cools_until: datetime | None = None


@dataclass(kw_only=True)
class RuledSnapshot:
    owner: str
    public: bool = False
    shared: set[str] = field(default_factory=set)
    lock: RuledLock | None = None
    bin_until: datetime | None = None


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
class Rules:
    """All that several accounts have in one region.

    `places` is where an account is in the organization: "unit", or "org" outside of its unit.
    `binned` are the snapshots in the Recycle Bin, where an image is only deregistered.
    """

    now: datetime
    images: dict[str, RuledImage] = field(default_factory=dict)
    snapshots: dict[str, RuledSnapshot] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    blocked_snapshots: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    binned: dict[str, RuledSnapshot] = field(default_factory=dict)
    kept_days: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def sees(self, account: str, image: RuledImage) -> bool:
        if account == image.owner:
            return True
        if image.state == "disabled":
            return False
        return image.public or account in image.shared or self._shared_with_group(account, image)

    def _shared_with_group(self, account: str, image: RuledImage) -> bool:
        place = self.places.get(account)
        return place in image.shared or (place == "unit" and "org" in image.shared)

    def sees_snapshot(self, account: str, snapshot: RuledSnapshot) -> bool:
        if account == snapshot.owner or account in snapshot.shared:
            return True
        return snapshot.public and self.blocked_snapshots.get(snapshot.owner) != "block-all-sharing"

    def look(self, account: str, image_id: str) -> str:
        image = self.images.get(image_id)
        if image is None or not self.sees(account, image):
            return NO_IMAGE
        return GONE if image.state == "deregistered" else ""

    def look_as_owner(self, account: str, image_id: str) -> str:
        refusal = self.look(account, image_id)
        return refusal or ("" if self.images[image_id].owner == account else NOT_YOURS)

    def look_at_snapshot(self, account: str, snapshot_id: str, *, as_owner: bool = False) -> str:
        snapshot = self.snapshots.get(snapshot_id)
        if snapshot is None or not self.sees_snapshot(account, snapshot):
            return NO_SNAPSHOT
        return NOT_YOURS if as_owner and snapshot.owner != account else ""

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
        if image.public and self.now >= image.created + 731 * DAY:
            return True
        return image.deprecated is not None and self.now >= image.deprecated

    def listed_snapshots(self, account: str) -> set[str]:
        return {key for key, each in self.snapshots.items() if self.sees_snapshot(account, each)}

    def register(self, account: str, name: str, snapshot_id: str, image_id: str) -> str:
        if self._is_taken(account, name):
            return "InvalidAMIName.Duplicate"
        refusal = self.look_at_snapshot(account, snapshot_id)
        if not refusal:
            self.images[image_id] = RuledImage(
                owner=account, name=name, snapshot=snapshot_id, created=self.now
            )
        return refusal

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
        image.bin_until = self._bin_until(account, "image")
        snapshot = self.snapshots.get(image.snapshot)
        mine = snapshot is not None and snapshot.owner == account
        if delete and mine and not self._used(image.snapshot) and not self._locked(image.snapshot):
            self._drop(image.snapshot)
        return ""

    def _bin_until(self, account: str, kind: str) -> datetime | None:
        """When what is deleted now leaves the bin: by the longest rule, if there is one."""
        days = self.kept_days.get((account, kind))
        return self.now + max(days) * DAY if days else None

    def _drop(self, snapshot_id: str) -> None:
        snapshot = self.snapshots.pop(snapshot_id)
        snapshot.bin_until = self._bin_until(snapshot.owner, "snapshot")
        if snapshot.bin_until is not None:
            self.binned[snapshot_id] = snapshot

    def _locked(self, snapshot_id: str) -> bool:
        lock = self.snapshots[snapshot_id].lock
        return lock is not None and self.now < lock.ends

    def keep(self, account: str, kind: str, days: int | None) -> None:
        """Another retention rule; None takes all of them away. What is in the bin stays."""
        if days is None:
            self.kept_days.pop((account, kind), None)
        else:
            self.kept_days.setdefault((account, kind), []).append(days)

    def in_bin(self, account: str) -> set[str]:
        kept = {**self.images, **self.binned}
        return {
            key
            for key, each in kept.items()
            if each.owner == account and each.bin_until is not None
        }

    def restore_image(self, account: str, image_id: str) -> str:
        if image_id not in self.in_bin(account) or image_id not in self.images:
            return NO_IMAGE
        image = self.images[image_id]
        if self._is_taken(account, image.name):
            return "InvalidAMIName.Duplicate"
        if self.look_at_snapshot(account, image.snapshot):
            return "IncorrectState"
        image.state, image.deregistered, image.bin_until = image.was, None, None
        return ""

    def restore_snapshot(self, account: str, snapshot_id: str) -> str:
        snapshot = self.binned.get(snapshot_id)
        if snapshot is None or snapshot.owner != account:
            return NO_SNAPSHOT
        snapshot.bin_until = None
        self.snapshots[snapshot_id] = self.binned.pop(snapshot_id)
        return ""

    def lock(self, account: str, snapshot_id: str, asked: tuple[str, int, int]) -> str:
        """`asked`: the mode, the days, and the hours in which all can still be changed."""
        refusal = self.look_at_snapshot(account, snapshot_id, as_owner=True)
        if refusal:
            return refusal
        mode, days, hours = asked
        snapshot, ends = self.snapshots[snapshot_id], self.now + days * DAY
        if self._bound(snapshot):
            if hours:
                return "InvalidParameterCombination"
            if mode != "compliance" or (snapshot.lock and ends < snapshot.lock.ends):
                return "OperationNotPermitted"
        cools_until = self.now + hours * HOUR if hours else None
        snapshot.lock = RuledLock(mode=mode, ends=ends, cools_until=cools_until)
        return ""

    def unlock(self, account: str, snapshot_id: str) -> str:
        refusal = self.look_at_snapshot(account, snapshot_id, as_owner=True)
        if refusal:
            return refusal
        snapshot = self.snapshots[snapshot_id]
        if snapshot.lock is None:
            return "IncorrectState"
        if self._bound(snapshot):
            return "OperationNotPermitted"
        snapshot.lock = None
        return ""

    def _bound(self, snapshot: RuledSnapshot) -> bool:
        """By a lock that nobody takes away or makes shorter before it ends."""
        lock = snapshot.lock
        if lock is None or lock.mode != "compliance" or self.now >= lock.ends:
            return False
        return lock.cools_until is None or self.now >= lock.cools_until

    def _used(self, snapshot_id: str) -> bool:
        """By an image of its owner: those that others made of it do not keep it."""
        owner = self.snapshots[snapshot_id].owner
        return any(
            (image.snapshot, image.owner) == (snapshot_id, owner) and image.state != "deregistered"
            for image in self.images.values()
        )

    def delete_snapshot(self, account: str, snapshot_id: str) -> str:
        refusal = self.look_at_snapshot(account, snapshot_id, as_owner=True)
        if refusal:
            return refusal
        if self._used(snapshot_id):
            return "InvalidSnapshot.InUse"
        if self._locked(snapshot_id):
            return "OperationNotPermitted"
        self._drop(snapshot_id)
        return ""

    def share(self, account: str, image_id: str, whom: str, *, add: bool) -> str:
        refusal = self.look_as_owner(account, image_id)
        if refusal:
            return refusal
        image = self.images[image_id]
        if image.state != "available":
            return "IncorrectState"
        if whom == "all":
            if add and account in self.blocked:
                return "OperationNotPermitted"
            image.public = add
        else:
            (image.shared.add if add else image.shared.discard)(whom)
        return ""

    def share_snapshot(self, account: str, snapshot_id: str, whom: str, *, add: bool) -> str:
        refusal = self.look_at_snapshot(account, snapshot_id, as_owner=True)
        if refusal:
            return refusal
        snapshot = self.snapshots[snapshot_id]
        if whom == "all":
            if add and account in self.blocked_snapshots:
                return "OperationNotPermitted"
            snapshot.public = add
        else:
            (snapshot.shared.add if add else snapshot.shared.discard)(whom)
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
            return "IncorrectState"
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

    def pass_time(self, by: timedelta) -> None:
        """The bin is emptied, and of what is not in it what was deregistered an hour ago is
        forgotten."""
        self.now += by
        for snapshot_id, snapshot in list(self.binned.items()):
            if snapshot.bin_until is not None and snapshot.bin_until <= self.now:
                del self.binned[snapshot_id]
        for image_id, image in list(self.images.items()):
            if image.bin_until is not None and image.bin_until <= self.now:
                image.bin_until = None
            long_gone = image.deregistered is not None and image.deregistered < self.now - HOUR
            if long_gone and image.bin_until is None:
                del self.images[image_id]
