"""What accounts do to their snapshots and each other's."""

from typing import Any

from support.asking import ask, put
from support.builders import ALICE, BOB, CAROL, HERE, ZONE, a_snapshot
from support.rules.acts_on_bins import KEYS, VALUES, ActsOnBins, tags_of
from support.rules.driven import ACCOUNTS, ANYBODY, PICKS, act
from support.rules.snapshots import RuledSnapshot

WHOM = (ALICE, BOB, CAROL, "all")
LOCKS = (
    *(("governance", 1, 0), ("governance", 40, 24), *3 * (("governance", 40, 0),)),
    *(("compliance", 1, 0), ("compliance", 40, 0), ("compliance", 41, 0)),
    *(("compliance", 1, 72), ("compliance", 40, 1), ("compliance", 40, 24)),
)


class ActsOnSnapshots(ActsOnBins):
    @act("bin keeping locking lending", account=ACCOUNTS)
    def add_snapshot(self, account: Any) -> str:
        snapshot = a_snapshot(id=self.svc.ids.new("snap"), owner=account)
        put(self.svc, snapshot)
        self.ever["snapshot"].append(snapshot.id)
        self.rules.snapshots[snapshot.id] = RuledSnapshot(owner=account)
        return ""

    @act("copying lending", account=ANYBODY, pick=PICKS)
    def copy_snapshot(self, account: str | None, pick: int) -> str:
        account, snapshot_id = self.snapshot(account, pick)
        asked = {"SourceSnapshotId": snapshot_id, "SourceRegion": HERE}
        told = self.refusal("CopySnapshot", account, **asked)
        copy_id = self.answer.get("SnapshotId", "")
        if copy_id:
            self.ever["snapshot"].append(copy_id)
        return self.both(told, self.rules.copy_snapshot(account, snapshot_id, copy_id))

    @act("lending", account=ANYBODY, pick=PICKS)
    def make_volume(self, account: str | None, pick: int) -> str:
        account, snapshot_id = self.snapshot(account, pick)
        asked = {"SnapshotId": snapshot_id, "AvailabilityZone": ZONE}
        told = self.refusal("CreateVolume", account, dry=True, **asked)
        return self.both(told, self.rules.look_at_snapshot(account, snapshot_id))

    @act("bin keeping locking lending", account=ANYBODY, pick=PICKS)
    def delete_snapshot(self, account: str | None, pick: int) -> str:
        account, snapshot_id = self.snapshot(account, pick)
        told = self.refusal("DeleteSnapshot", account, SnapshotId=snapshot_id)
        return self.both(told, self.rules.delete_snapshot(account, snapshot_id))

    @act("locking", account=ANYBODY, pick=PICKS)
    def delete_locked(self, account: str | None, pick: int) -> str:
        return self.delete_snapshot(account, locked(pick))

    @act("lending copying", account=ANYBODY, pick=PICKS, whom=WHOM)
    def lend(self, account: str | None, pick: int, whom: str) -> str:
        account, snapshot_id = self.snapshot(account, pick)
        return self.lend_or_not(account, snapshot_id, whom, add=True)

    @act("lending", account=ANYBODY, pick=PICKS, whom=WHOM)
    def lend_no_longer(self, account: str | None, pick: int, whom: str) -> str:
        """One to whom it is lent, if it is lent."""
        account, snapshot_id = self.snapshot(account, pick)
        snapshot = self.rules.snapshots.get(snapshot_id)
        if snapshot is not None and whom != "all" and snapshot.shared:
            whom = max(snapshot.shared)
        return self.lend_or_not(account, snapshot_id, whom, add=False)

    def lend_or_not(self, account: str, snapshot_id: str, whom: str, *, add: bool) -> str:
        change = {"Add" if add else "Remove": [self.permission(whom)]}
        asked = {"SnapshotId": snapshot_id, "CreateVolumePermission": change}
        told = self.refusal("ModifySnapshotAttribute", account, **asked)
        return self.both(told, self.rules.share_snapshot(account, snapshot_id, whom, add=add))

    @act("lending", account=ANYBODY, pick=PICKS)
    def lend_to_nobody(self, account: str | None, pick: int) -> str:
        account, snapshot_id = self.snapshot(account, pick)
        asked = {"SnapshotId": snapshot_id, "Attribute": "createVolumePermission"}
        told = self.refusal("ResetSnapshotAttribute", account, **asked)
        return self.both(told, self.rules.unshare_snapshot(account, snapshot_id))

    @act("lending", account=ANYBODY, pick=PICKS)
    def list_borrowers(self, account: str | None, pick: int) -> str:
        account, snapshot_id = self.snapshot(account, pick)
        asked = {"SnapshotId": snapshot_id, "Attribute": "createVolumePermission"}
        told = self.refusal("DescribeSnapshotAttribute", account, **asked)
        given = self.permitted(self.answer.get("CreateVolumePermissions", []))
        self.both((told, given), self.rules.volume_permissions(account, snapshot_id))
        return told

    @act(
        "lending",
        account=ACCOUNTS,
        state=(None, None, "block-new-sharing", "block-all-sharing"),
    )
    def block_snapshots(self, account: str, state: str | None) -> str:
        if state is None:
            told = self.refusal("DisableSnapshotBlockPublicAccess", account)
            self.rules.blocked_snapshots.pop(account, None)
        else:
            told = self.refusal("EnableSnapshotBlockPublicAccess", account, State=state)
            self.rules.blocked_snapshots[account] = state
        return self.both(told, "")

    @act("keeping tagging", account=ANYBODY, pick=PICKS, key=KEYS, value=VALUES)
    def tag_snapshot(self, account: str | None, pick: int, key: str, value: str | None) -> str:
        account, snapshot_id = self.snapshot(account, pick)
        told = self.tagging(account, snapshot_id, key, value)
        return self.both(told, self.rules.tag_snapshot(account, snapshot_id, key, value))

    @act("all", account=ACCOUNTS)
    def list_snapshots(self, account: str) -> str:
        found = ask(self.svc, "DescribeSnapshots", account)["Snapshots"]
        told = {each["SnapshotId"]: tags_of(each) for each in found}
        seen = self.rules.listed_snapshots(account)
        return self.both(told, {each: self.rules.tags.get((account, each), {}) for each in seen})

    @act("locking", account=ANYBODY, pick=PICKS, asked=LOCKS)
    def lock(self, account: str | None, pick: int, asked: tuple[str, int, int]) -> str:
        account, snapshot_id = self.snapshot(account, pick)
        mode, days, hours = asked
        told = self.refusal(
            "LockSnapshot",
            account,
            SnapshotId=snapshot_id,
            LockMode=mode,
            LockDuration=days,
            CoolOffPeriod=hours or None,
        )
        return self.both(told, self.rules.lock(account, snapshot_id, asked))

    @act("locking", account=ANYBODY, pick=PICKS)
    def unlock(self, account: str | None, pick: int) -> str:
        """One of those that are locked, if there are any."""
        account, snapshot_id = self.snapshot(account, locked(pick))
        told = self.refusal("UnlockSnapshot", account, SnapshotId=snapshot_id)
        return self.both(told, self.rules.unlock(account, snapshot_id))

    @act("locking", account=ACCOUNTS)
    def list_locks(self, account: str) -> str:
        """Each with its state and its end."""
        found = ask(self.svc, "DescribeLockedSnapshots", account)["Snapshots"]
        told = {(each["SnapshotId"], each["LockState"], each["LockExpiresOn"]) for each in found}
        return self.both(told, self.rules.listed_locks(account))


def locked(pick: int) -> int:
    """A pick of one that is locked, or of one that is gone."""
    return pick if pick == 9 else 7 + pick % 2
