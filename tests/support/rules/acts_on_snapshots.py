"""What accounts do to their snapshots and each other's, and to what is kept in the bin."""

from typing import Any

from hypothesis import strategies as st

from openami.domain.errors import EC2Error
from support.asking import ask, put
from support.bins import a_rule, ask_bin
from support.builders import ALICE, BOB, CAROL, HERE, ZONE, a_snapshot
from support.rules.driven import ACCOUNTS, ANYBODY, PICKS, Driven, act, picked, taken
from support.rules.retention import SHARED, UNLOCK_DELAY
from support.rules.snapshots import RuledSnapshot

KINDS = {"image": "EC2_IMAGE", "snapshot": "EBS_SNAPSHOT"}
WHOM = st.sampled_from([ALICE, BOB, CAROL, "all"])
KEYS = st.sampled_from(["team", SHARED + "use"])
VALUES = st.sampled_from([None, "a", "b"])
LOCKS = st.sampled_from(
    [
        *(("governance", 1, 0), ("governance", 40, 0), ("governance", 40, 24)),
        *(("compliance", 1, 0), ("compliance", 40, 0), ("compliance", 41, 0)),
        *(("compliance", 1, 72), ("compliance", 40, 1), ("compliance", 40, 24)),
    ]
)


class ActsOnSnapshots(Driven):
    @act(account=ACCOUNTS)
    def add_snapshot(self, account: Any) -> None:
        snapshot = a_snapshot(id=self.svc.ids.new("snap"), owner=account)
        put(self.svc, snapshot)
        self.snapshot_ids.append(snapshot.id)
        self.rules.snapshots[snapshot.id] = RuledSnapshot(owner=account)
        taken["steps"] += 1

    @act(account=ANYBODY, pick=PICKS)
    def copy_snapshot(self, account: str | None, pick: int) -> None:
        account, snapshot_id = self.snapshot(account, pick)
        asked = {"SourceSnapshotId": snapshot_id, "SourceRegion": HERE}
        told = self.refusal("CopySnapshot", account, **asked)
        copy_id = self.answer.get("SnapshotId", "")
        self.both(told, self.rules.copy_snapshot(account, snapshot_id, copy_id))
        if copy_id:
            self.snapshot_ids.append(copy_id)

    @act(account=ANYBODY, pick=PICKS)
    def make_volume(self, account: str | None, pick: int) -> None:
        account, snapshot_id = self.snapshot(account, pick)
        asked = {"SnapshotId": snapshot_id, "AvailabilityZone": ZONE}
        told = self.refusal("CreateVolume", account, dry=True, **asked)
        self.both(told, self.rules.look_at_snapshot(account, snapshot_id))

    @act(account=ANYBODY, pick=PICKS)
    def delete_snapshot(self, account: str | None, pick: int) -> None:
        account, snapshot_id = self.snapshot(account, pick)
        told = self.refusal("DeleteSnapshot", account, SnapshotId=snapshot_id)
        self.both(told, self.rules.delete_snapshot(account, snapshot_id))

    @act(account=ANYBODY, pick=PICKS)
    def restore_snapshot(self, account: str | None, pick: int) -> None:
        known = self.rules.binned or self.rules.snapshots
        account, snapshot_id = self.binned(account, pick, known)
        told = self.refusal("RestoreSnapshotFromRecycleBin", account, SnapshotId=snapshot_id)
        self.both(told, self.rules.restore_snapshot(account, snapshot_id))

    @act(account=ANYBODY, pick=PICKS, whom=WHOM, add=st.booleans())
    def share_snapshot(self, account: str | None, pick: int, whom: str, add: bool) -> None:
        account, snapshot_id = self.snapshot(account, pick)
        change = {"Add" if add else "Remove": [self.permission(whom)]}
        asked = {"SnapshotId": snapshot_id, "CreateVolumePermission": change}
        told = self.refusal("ModifySnapshotAttribute", account, **asked)
        self.both(told, self.rules.share_snapshot(account, snapshot_id, whom, add=add))

    @act(account=ACCOUNTS, state=st.sampled_from([None, "block-new-sharing", "block-all-sharing"]))
    def block_snapshots(self, account: str, state: str | None) -> None:
        if state is None:
            told = self.refusal("DisableSnapshotBlockPublicAccess", account)
            self.rules.blocked_snapshots.pop(account, None)
        else:
            told = self.refusal("EnableSnapshotBlockPublicAccess", account, State=state)
            self.rules.blocked_snapshots[account] = state
        self.both(told, "")

    @act(account=ANYBODY, pick=PICKS, key=KEYS, value=VALUES)
    def tag_snapshot(self, account: str | None, pick: int, key: str, value: str | None) -> None:
        account, snapshot_id = self.snapshot(account, pick)
        told = self.tagging(account, snapshot_id, key, value)
        self.both(told, self.rules.tag_snapshot(account, snapshot_id, key, value))

    def tagging(self, account: str, resource_id: str, key: str, value: str | None) -> str:
        """CreateTags, or without a value DeleteTags."""
        operation = "DeleteTags" if value is None else "CreateTags"
        tag = {"Key": key} if value is None else {"Key": key, "Value": value}
        return self.refusal(operation, account, Resources=[resource_id], Tags=[tag])

    @act(account=ACCOUNTS)
    def list_snapshots(self, account: str) -> None:
        found = ask(self.svc, "DescribeSnapshots", account)["Snapshots"]
        told = {each["SnapshotId"]: tags_of(each) for each in found}
        seen = self.rules.listed_snapshots(account)
        self.both(told, {each: self.rules.tags.get((account, each), {}) for each in seen})

    @act(account=ANYBODY, pick=PICKS, asked=LOCKS)
    def lock(self, account: str | None, pick: int, asked: tuple[str, int, int]) -> None:
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
        self.both(told, self.rules.lock(account, snapshot_id, asked))

    @act(account=ANYBODY, pick=PICKS, asked=LOCKS)
    def lock_again(self, account: str | None, pick: int, asked: tuple[str, int, int]) -> None:
        """What is locked gets another lock: longer, shorter, or of the other mode."""
        self.lock(account, 4 + pick % 2, asked)

    @act(account=ANYBODY, pick=PICKS)
    def unlock(self, account: str | None, pick: int) -> None:
        account, snapshot_id = self.snapshot(account, max(pick, 3))
        told = self.refusal("UnlockSnapshot", account, SnapshotId=snapshot_id)
        self.both(told, self.rules.unlock(account, snapshot_id))

    @act(account=ACCOUNTS)
    def list_locks(self, account: str) -> None:
        self.both(*self.locks(account))

    def locks(self, account: Any) -> tuple[set[Any], set[Any]]:
        """The account's, as they are told and as they are ruled."""
        found = ask(self.svc, "DescribeLockedSnapshots", account)["Snapshots"]
        told = {(each["SnapshotId"], each["LockState"], each["LockExpiresOn"]) for each in found}
        return told, self.rules.listed_locks(account)

    @act(account=ACCOUNTS, kind=st.sampled_from(list(KINDS)), days=st.sampled_from([1, 30]))
    def keep(self, account: Any, kind: str, days: int) -> None:
        """Another retention rule."""
        rule_id = a_rule(self.svc, KINDS[kind], days, account=account)
        self.rule_ids.append(rule_id)
        self.rules.keep(account, rule_id, kind, days)
        taken["steps"] += 1

    @act(account=ANYBODY, pick=PICKS)
    def keep_no_longer(self, account: str | None, pick: int) -> None:
        account, rule_id = self.retaining(account, pick)
        told = self.bin_refusal("DeleteRule", account, Identifier=rule_id)
        self.both(told, self.rules.drop_rule(account, rule_id))

    @act(account=ANYBODY, pick=PICKS, on=st.booleans())
    def lock_rule(self, account: str | None, pick: int, on: bool) -> None:
        account, rule_id = self.retaining(account, pick)
        if on:
            delay = {"UnlockDelayValue": UNLOCK_DELAY.days, "UnlockDelayUnit": "DAYS"}
            asked = {"Identifier": rule_id, "LockConfiguration": {"UnlockDelay": delay}}
            told = self.bin_refusal("LockRule", account, **asked)
        else:
            told = self.bin_refusal("UnlockRule", account, Identifier=rule_id)
        self.both(told, self.rules.lock_rule(account, rule_id, on=on))

    def retaining(self, account: str | None, pick: int) -> tuple[str, str]:
        """One of the retention rules, as `image` is one of the images."""
        known = self.rules.retention
        special = [rule_id for rule_id, each in known.items() if each.lock != "never"]
        rule_id = picked(pick, list(known), special, self.rule_ids)
        return account or (known[rule_id].owner if rule_id in known else ALICE), rule_id

    def bin_refusal(self, operation: str, account: Any, **request: Any) -> str:
        try:
            ask_bin(self.svc, operation, account, **request)
        except EC2Error as refused:
            return refused.code
        return ""

    @act(account=ACCOUNTS)
    def list_bin(self, account: Any) -> None:
        images = ask(self.svc, "ListImagesInRecycleBin", account)["Images"]
        snapshots = ask(self.svc, "ListSnapshotsInRecycleBin", account)["Snapshots"]
        told = {each["ImageId"]: each["RecycleBinExitTime"] for each in images}
        told |= {each["SnapshotId"]: each["RecycleBinExitTime"] for each in snapshots}
        self.both(told, self.rules.in_bin(account))


def tags_of(resource: dict[str, Any]) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in resource.get("Tags", ())}
