"""What accounts do to their volumes, to their retention rules, and to what is in the bin."""

from abc import abstractmethod
from typing import Any

from openami.domain.errors import EC2Error
from support.asking import ask, put
from support.bins import ask_bin
from support.builders import a_volume
from support.rules.driven import ACCOUNTS, ANYBODY, PICKS, Driven, act
from support.rules.retention import SHARED, UNLOCK_DELAY, RetentionRule, Tag
from support.rules.volumes import RuledVolume

KINDS = {"image": "EC2_IMAGE", "snapshot": "EBS_SNAPSHOT", "volume": "EBS_VOLUME"}
KEYS = ("team", "team", SHARED + "use")
VALUES = (None, "a", "b")
DAYS = (1, 3, 30)
VOLUME_DAYS_MAX = 7
TAG = ("team", "a")


class ActsOnBins(Driven):
    @act("bin keeping tagging", account=ACCOUNTS)
    def add_volume(self, account: Any) -> str:
        volume = a_volume(id=self.svc.ids.new("vol"), owner=account)
        put(self.svc, volume)
        self.ever["volume"].append(volume.id)
        self.rules.volumes[volume.id] = RuledVolume(owner=account)
        return ""

    def volume(self, account: str | None, pick: int) -> tuple[str, str]:
        known = self.rules.volumes
        live = {key: each for key, each in known.items() if each.bin_until is None}
        owner, volume_id = self.one("volume", pick, live)
        return account or owner, volume_id

    @act("bin keeping", account=ANYBODY, pick=PICKS)
    def delete_volume(self, account: str | None, pick: int) -> str:
        account, volume_id = self.volume(account, pick)
        told = self.refusal("DeleteVolume", account, VolumeId=volume_id)
        return self.both(told, self.rules.delete_volume(account, volume_id))

    @act("bin", account=ACCOUNTS)
    def list_volumes(self, account: str) -> str:
        found = ask(self.svc, "DescribeVolumes", account)["Volumes"]
        told = {each["VolumeId"]: tags_of(each) for each in found}
        seen = self.rules.listed_volumes(account)
        return self.both(told, {each: self.rules.tags.get((account, each), {}) for each in seen})

    @act("keeping tagging", account=ANYBODY, pick=PICKS, key=KEYS, value=VALUES)
    def tag_volume(self, account: str | None, pick: int, key: str, value: str | None) -> str:
        account, volume_id = self.volume(account, pick)
        told = self.tagging(account, volume_id, key, value)
        return self.both(told, self.rules.tag_volume(account, volume_id, key, value))

    def tagging(self, account: str, resource_id: str, key: str, value: str | None) -> str:
        """CreateTags, or without a value DeleteTags."""
        operation = "DeleteTags" if value is None else "CreateTags"
        tag = {"Key": key} if value is None else {"Key": key, "Value": value}
        return self.refusal(operation, account, Resources=[resource_id], Tags=[tag])

    def binned(self, account: str | None, pick: int, noun: str) -> tuple[str, str]:
        """One of what is in the bin, and who asks: its owner, mostly. If there is nothing in it,
        something is deleted before."""
        if not self.kept(noun) and pick < 9:
            self.delete(noun, pick)
        owner, found = self.one(noun, pick, self.kept(noun))
        return account or owner, found

    def kept(self, noun: str) -> dict[str, Any]:
        known: dict[str, Any] = {
            "image": self.rules.images,
            "snapshot": self.rules.binned,
            "volume": self.rules.volumes,
        }[noun]
        return {key: each for key, each in known.items() if each.bin_until is not None}

    @abstractmethod
    def delete(self, noun: str, pick: int) -> None:
        """Its owner deletes an image, a snapshot, or a volume."""

    @act("bin", account=ANYBODY, pick=PICKS)
    def restore_image(self, account: str | None, pick: int) -> str:
        account, image_id = self.binned(account, pick, "image")
        told = self.refusal("RestoreImageFromRecycleBin", account, ImageId=image_id)
        return self.both(told, self.rules.restore_image(account, image_id))

    @act("bin", account=ANYBODY, pick=PICKS)
    def restore_snapshot(self, account: str | None, pick: int) -> str:
        account, snapshot_id = self.binned(account, pick, "snapshot")
        told = self.refusal("RestoreSnapshotFromRecycleBin", account, SnapshotId=snapshot_id)
        return self.both(told, self.rules.restore_snapshot(account, snapshot_id))

    @act("bin", account=ANYBODY, pick=PICKS)
    def restore_volume(self, account: str | None, pick: int) -> str:
        account, volume_id = self.binned(account, pick, "volume")
        told = self.refusal("RestoreVolumeFromRecycleBin", account, VolumeId=volume_id)
        return self.both(told, self.rules.restore_volume(account, volume_id))

    @act("bin keeping", account=ACCOUNTS)
    def list_bin(self, account: str) -> str:
        told = {
            each[f"{noun}Id"]: each["RecycleBinExitTime"]
            for noun in ("Image", "Snapshot", "Volume")
            for each in ask(self.svc, f"List{noun}sInRecycleBin", account)[f"{noun}s"]
        }
        return self.both(told, self.rules.in_bin(account))

    @act(
        "keeping",
        account=ACCOUNTS,
        kind=tuple(KINDS),
        days=DAYS,
        tag=("", "", "of", "but"),
    )
    def keep(self, account: str, kind: str, days: int, tag: str) -> str:
        """Another retention rule: of all, of what has a tag, or of what has not."""
        days = at_most(kind, days)
        asked: dict[str, Any] = {"ResourceType": KINDS[kind], "RetentionPeriod": period(days)}
        if tag:
            pattern = dict(zip(("ResourceTagKey", "ResourceTagValue"), TAG, strict=True))
            asked["ResourceTags" if tag == "of" else "ExcludeResourceTags"] = [pattern]
        told = self.bin_refusal("CreateRule", account, **asked)
        rule_id = self.answer.get("Identifier", "")
        if rule_id:
            self.ever["rule"].append(rule_id)
        tags: dict[str, Tag] = {tag: TAG} if tag else {}
        rule = RetentionRule(owner=account, kind=kind, days=days, **tags)
        return self.both(told, self.rules.keep(rule_id, rule))

    @act("keeping", account=ANYBODY, pick=PICKS, days=DAYS)
    def keep_for(self, account: str | None, pick: int, days: int) -> str:
        account, rule_id = self.retaining(account, pick)
        if rule_id in self.rules.retention:
            days = at_most(self.rules.retention[rule_id].kind, days)
        asked = {"Identifier": rule_id, "RetentionPeriod": period(days)}
        told = self.bin_refusal("UpdateRule", account, **asked)
        return self.both(told, self.rules.keep_for(account, rule_id, days))

    @act("keeping", account=ANYBODY, pick=PICKS)
    def keep_no_longer(self, account: str | None, pick: int) -> str:
        account, rule_id = self.retaining(account, pick)
        told = self.bin_refusal("DeleteRule", account, Identifier=rule_id)
        return self.both(told, self.rules.drop_rule(account, rule_id))

    @act("keeping", account=ANYBODY, pick=PICKS, again=(True, False, False, False))
    def lock_rule(self, account: str | None, pick: int, again: bool) -> str:
        """Or unlock it if it is locked; `again`: what is locked is locked, and so on."""
        account, rule_id = self.retaining(account, pick)
        rule = self.rules.retention.get(rule_id)
        on = (rule is not None and rule.lock == "locked") == again
        if on:
            delay = {"UnlockDelayValue": UNLOCK_DELAY.days, "UnlockDelayUnit": "DAYS"}
            asked = {"Identifier": rule_id, "LockConfiguration": {"UnlockDelay": delay}}
            told = self.bin_refusal("LockRule", account, **asked)
        else:
            told = self.bin_refusal("UnlockRule", account, Identifier=rule_id)
        return self.both(told, self.rules.lock_rule(account, rule_id, on=on))

    @act("keeping", account=ACCOUNTS, kind=tuple(KINDS))
    def list_rules(self, account: Any, kind: str) -> str:
        found = ask_bin(self.svc, "ListRules", account, ResourceType=KINDS[kind])["Rules"]
        told = {
            each["Identifier"]: (
                each["RetentionPeriod"]["RetentionPeriodValue"],
                each.get("LockState", "never"),
            )
            for each in found
        }
        return self.both(told, self.rules.listed_rules(account, kind))

    def retaining(self, account: str | None, pick: int) -> tuple[str, str]:
        """One of the retention rules, as `image` is one of the images."""
        known = self.rules.retention
        special = [rule_id for rule_id, each in known.items() if each.lock != "never"]
        owner, rule_id = self.one("rule", pick, known, special)
        return account or owner, rule_id

    def bin_refusal(self, operation: str, account: Any, **request: Any) -> str:
        self.answer = {}
        try:
            self.answer = ask_bin(self.svc, operation, account, **request)
        except EC2Error as refused:
            return refused.code
        return ""


def at_most(kind: str, days: int) -> int:
    """As long as things of the kind can be kept."""
    return min(days, VOLUME_DAYS_MAX) if kind == "volume" else days


def period(days: int) -> dict[str, Any]:
    return {"RetentionPeriodValue": days, "RetentionPeriodUnit": "DAYS"}


def tags_of(resource: dict[str, Any]) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in resource.get("Tags", ())}
