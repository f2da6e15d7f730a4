"""The rules of snapshots: who sees one, who deletes one, and what a lock forbids."""

from abc import abstractmethod
from dataclasses import dataclass, field
from datetime import datetime

from support.rules.retention import DAY, HOUR
from support.rules.volumes import VolumeRules

NO_SNAPSHOT, NOT_YOURS = "InvalidSnapshot.NotFound", "AuthFailure"


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
class SnapshotRules(VolumeRules):
    """`binned` are those in the Recycle Bin."""

    snapshots: dict[str, RuledSnapshot] = field(default_factory=dict)
    blocked_snapshots: dict[str, str] = field(default_factory=dict)
    binned: dict[str, RuledSnapshot] = field(default_factory=dict)

    @abstractmethod
    def used(self, snapshot_id: str) -> bool:
        """By an image of its owner: those that others made of it do not keep it."""

    def sees_snapshot(self, account: str, snapshot: RuledSnapshot) -> bool:
        if account == snapshot.owner or account in snapshot.shared:
            return True
        return snapshot.public and self.blocked_snapshots.get(snapshot.owner) != "block-all-sharing"

    def look_at_snapshot(self, account: str, snapshot_id: str, *, as_owner: bool = False) -> str:
        snapshot = self.snapshots.get(snapshot_id)
        if snapshot is None or not self.sees_snapshot(account, snapshot):
            return NO_SNAPSHOT
        return NOT_YOURS if as_owner and snapshot.owner != account else ""

    def listed_snapshots(self, account: str) -> set[str]:
        return {key for key, each in self.snapshots.items() if self.sees_snapshot(account, each)}

    def copy_snapshot(self, account: str, snapshot_id: str, copy_id: str) -> str:
        """The copy is the account's own, and nobody else's."""
        refusal = self.look_at_snapshot(account, snapshot_id)
        if not refusal:
            self.snapshots[copy_id] = RuledSnapshot(owner=account)
        return refusal

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

    def unshare_snapshot(self, account: str, snapshot_id: str) -> str:
        refusal = self.look_at_snapshot(account, snapshot_id, as_owner=True)
        if not refusal:
            self.snapshots[snapshot_id].public = False
            self.snapshots[snapshot_id].shared = set()
        return refusal

    def volume_permissions(self, account: str, snapshot_id: str) -> tuple[str, set[str]]:
        """Whom the owner lets make volumes of it."""
        refusal = self.look_at_snapshot(account, snapshot_id, as_owner=True)
        if refusal:
            return refusal, set()
        snapshot = self.snapshots[snapshot_id]
        return "", snapshot.shared | ({"all"} if snapshot.public else set())

    def delete_snapshot(self, account: str, snapshot_id: str) -> str:
        refusal = self.look_at_snapshot(account, snapshot_id, as_owner=True)
        if refusal:
            return refusal
        if self.used(snapshot_id):
            return "InvalidSnapshot.InUse"
        if self.locked(snapshot_id):
            return "OperationNotPermitted"
        self.drop_snapshot(snapshot_id)
        return ""

    def drop_snapshot(self, snapshot_id: str) -> None:
        snapshot = self.snapshots.pop(snapshot_id)
        snapshot.bin_until = self.bin_until(snapshot.owner, "snapshot", snapshot_id)
        if snapshot.bin_until is not None:
            self.binned[snapshot_id] = snapshot

    def restore_snapshot(self, account: str, snapshot_id: str) -> str:
        snapshot = self.binned.get(snapshot_id)
        if snapshot is None or snapshot.owner != account:
            return NO_SNAPSHOT
        if snapshot.bin_until is not None and snapshot.bin_until <= self.now:
            return NO_SNAPSHOT
        snapshot.bin_until = None
        self.snapshots[snapshot_id] = self.binned.pop(snapshot_id)
        return ""

    def tag_snapshot(self, account: str, snapshot_id: str, key: str, value: str | None) -> str:
        binned = self.binned.get(snapshot_id)
        refusal = self.look_at_snapshot(account, snapshot_id)
        if refusal and (binned is None or binned.owner != account):
            return refusal
        self.put_tag(account, snapshot_id, key, value)
        return ""

    def lock(self, account: str, snapshot_id: str, asked: tuple[str, int, int]) -> str:
        """`asked`: the mode, the days, and the hours in which all can still be changed."""
        mode, days, hours = asked
        if hours and mode == "governance":
            return "InvalidParameterCombination"
        refusal = self.look_at_snapshot(account, snapshot_id, as_owner=True)
        if refusal:
            return refusal
        snapshot, ends = self.snapshots[snapshot_id], self.now + days * DAY
        if self._lock_state(snapshot) == "compliance":
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
        if self._lock_state(snapshot) == "compliance":
            return "OperationNotPermitted"
        snapshot.lock = None
        return ""

    def empty_bin_of_snapshots(self) -> None:
        for snapshot_id, snapshot in list(self.binned.items()):
            if snapshot.bin_until is not None and snapshot.bin_until <= self.now:
                del self.binned[snapshot_id]

    def locked(self, snapshot_id: str) -> bool:
        return self._lock_state(self.snapshots[snapshot_id]) not in ("", "expired")

    def listed_locks(self, account: str) -> set[tuple[str, str, datetime]]:
        """The account's, each with its state and its end, but of what is in the bin."""
        return {
            (key, self._lock_state(each), each.lock.ends)
            for key, each in self.snapshots.items()
            if each.owner == account and each.lock is not None
        }

    def _lock_state(self, snapshot: RuledSnapshot) -> str:
        """In the state "compliance" nobody takes the lock away or makes it shorter."""
        lock = snapshot.lock
        if lock is None:
            return ""
        if self.now >= lock.ends:
            return "expired"
        cools = lock.cools_until is not None and self.now < lock.cools_until
        return f"{lock.mode}-cooloff" if cools else lock.mode
