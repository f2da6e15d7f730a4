"""What accounts do to their images and each other's."""

from datetime import timedelta
from typing import Any

from openami.domain.image_retirement import iso
from support.asking import ask
from support.builders import ALICE, BOB, CAROL, HERE
from support.rules.acts_on_bins import KEYS, VALUES, tags_of
from support.rules.acts_on_snapshots import ActsOnSnapshots
from support.rules.driven import ACCOUNTS, ANYBODY, PICKS, act

GROUPS = (ALICE, BOB, CAROL, "all", "org", "unit")
NAMES = ("web", "data", "base")
NAMES_OF_COPIES = (*NAMES, "copy", "second", "third")
DEPRECATIONS = (None, -1, 0, 1, 30, 700, 731, 732, 3653, 3654)
PROTECTIONS = (None, None, "none", "without cooldown", "with cooldown")
PROTECTED = {
    "none": "disabled",
    "without cooldown": "enabled-without-cooldown",
    "with cooldown": "enabled-with-cooldown",
}


class ActsOnImages(ActsOnSnapshots):
    @act("all", account=ANYBODY, name=NAMES, pick=PICKS)
    def register(self, account: str | None, name: str, pick: int) -> str:
        account, snapshot_id = self.snapshot(account, pick)
        root = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot_id}}
        told = self.refusal(
            "RegisterImage",
            account,
            Name=name,
            RootDeviceName="/dev/xvda",
            Architecture="x86_64",
            VirtualizationType="hvm",
            BlockDeviceMappings=[root],
        )
        image_id = self.answer.get("ImageId", "")
        if image_id:
            self.ever["image"].append(image_id)
        return self.both(told, self.rules.register(account, name, snapshot_id, image_id))

    @act("copying", account=ANYBODY, name=NAMES_OF_COPIES, pick=PICKS, copy_tags=(True, False))
    def copy(self, account: str | None, name: str, pick: int, copy_tags: bool) -> str:
        account, image_id = self.image(account, pick)
        asked = {"SourceImageId": image_id, "SourceRegion": HERE, "Name": name}
        told = self.refusal("CopyImage", account, **asked, CopyImageTags=copy_tags)
        copied = ("", "")
        if not told:
            copied = (self.answer["ImageId"], self.snapshot_of(account, self.answer["ImageId"]))
            self.ever["image"].append(copied[0])
            self.ever["snapshot"].append(copied[1])
        ruled = self.rules.copy(account, image_id, name, copy_tags=copy_tags, copied=copied)
        return self.both(told, ruled)

    def snapshot_of(self, account: Any, image_id: str) -> str:
        (image,) = ask(self.svc, "DescribeImages", account, ImageIds=[image_id])["Images"]
        return str(image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"])

    @act("sharing retiring copying", account=ANYBODY, pick=PICKS)
    def launch(self, account: str | None, pick: int) -> str:
        account, image_id = self.image(account, pick)
        asked = {"InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, "ImageId": image_id}
        told = self.refusal("RunInstances", account, dry=True, **asked)
        return self.both(told, self.rules.launch(account, image_id))

    @act("bin keeping retiring locking", account=ANYBODY, pick=PICKS, delete=(True, False))
    def deregister(self, account: str | None, pick: int, delete: bool) -> str:
        account, image_id = self.image(account, pick)
        asked = {"ImageId": image_id, "DeleteAssociatedSnapshots": delete}
        told = self.refusal("DeregisterImage", account, **asked)
        return self.both(told, self.rules.deregister(account, image_id, delete=delete))

    def delete(self, noun: str, pick: int) -> None:
        if noun == "image":
            self.deregister(None, pick, delete=False)
        elif noun == "snapshot":
            self.delete_snapshot(None, pick)
        else:
            self.delete_volume(None, pick)

    @act("bin copying retiring sharing", account=ANYBODY, pick=PICKS, whom=GROUPS)
    def share(self, account: str | None, pick: int, whom: str) -> str:
        account, image_id = self.image(account, pick)
        return self.share_or_not(account, image_id, whom, add=True)

    @act("sharing", account=ANYBODY, pick=PICKS, whom=GROUPS)
    def share_no_longer(self, account: str | None, pick: int, whom: str) -> str:
        """With one with whom it is shared, if it is shared."""
        account, image_id = self.image(account, pick)
        image = self.rules.images.get(image_id)
        if image is not None and whom != "all" and image.shared:
            whom = max(image.shared)
        return self.share_or_not(account, image_id, whom, add=False)

    def share_or_not(self, account: str, image_id: str, whom: str, *, add: bool) -> str:
        change = {"Add" if add else "Remove": [self.permission(whom)]}
        asked = {"ImageId": image_id, "LaunchPermission": change}
        told = self.refusal("ModifyImageAttribute", account, **asked)
        return self.both(told, self.rules.share(account, image_id, whom, add=add))

    @act("sharing", account=ANYBODY, pick=PICKS, cancel=(True, False))
    def unshare(self, account: str | None, pick: int, cancel: bool) -> str:
        account, image_id = self.image(account, pick)
        if cancel:
            told = self.refusal("CancelImageLaunchPermission", account, ImageId=image_id)
            return self.both(told, self.rules.cancel(account, image_id))
        asked = {"ImageId": image_id, "Attribute": "launchPermission"}
        told = self.refusal("ResetImageAttribute", account, **asked)
        return self.both(told, self.rules.unshare(account, image_id))

    @act("sharing", account=ANYBODY, pick=PICKS)
    def list_permissions(self, account: str | None, pick: int) -> str:
        account, image_id = self.image(account, pick)
        asked = {"ImageId": image_id, "Attribute": "launchPermission"}
        told = self.refusal("DescribeImageAttribute", account, **asked)
        given = self.permitted(self.answer.get("LaunchPermissions", []))
        self.both((told, given), self.rules.permissions(account, image_id))
        return told

    @act("retiring bin", account=ANYBODY, pick=PICKS, on=(True, False))
    def switch(self, account: str | None, pick: int, on: bool) -> str:
        account, image_id = self.image(account, pick)
        told = self.refusal("EnableImage" if on else "DisableImage", account, ImageId=image_id)
        return self.both(told, self.rules.switch(account, image_id, on=on))

    @act("retiring", account=ANYBODY, pick=PICKS, days=DEPRECATIONS)
    def deprecate(self, account: str | None, pick: int, days: int | None) -> str:
        account, image_id = self.image(account, pick)
        if days is None:
            told = self.refusal("DisableImageDeprecation", account, ImageId=image_id)
            return self.both(told, self.rules.deprecate(account, image_id, None))
        at = self.rules.now + timedelta(days=days)
        told = self.refusal("EnableImageDeprecation", account, ImageId=image_id, DeprecateAt=at)
        return self.both(told, self.rules.deprecate(account, image_id, at))

    @act("retiring", account=ANYBODY, pick=PICKS, kind=PROTECTIONS)
    def protect(self, account: str | None, pick: int, kind: str | None) -> str:
        """Without a kind: one that is protected no longer, and another with a cooldown."""
        account, image_id = self.image(account, pick)
        if kind is None:
            image = self.rules.images.get(image_id)
            kind = "with cooldown" if image is None or image.protection == "none" else "none"
        if kind == "none":
            operation = "DisableImageDeregistrationProtection"
            told = self.refusal(operation, account, ImageId=image_id)
        else:
            operation, cooldown = "EnableImageDeregistrationProtection", kind == "with cooldown"
            told = self.refusal(operation, account, ImageId=image_id, WithCooldown=cooldown)
        return self.both(told, self.rules.protect(account, image_id, kind))

    @act("sharing", account=ACCOUNTS, block=(True, False))
    def block_images(self, account: str, block: bool) -> str:
        if block:
            asked = {"ImageBlockPublicAccessState": "block-new-sharing"}
            told = self.refusal("EnableImageBlockPublicAccess", account, **asked)
            self.rules.blocked.add(account)
        else:
            told = self.refusal("DisableImageBlockPublicAccess", account)
            self.rules.blocked.discard(account)
        return self.both(told, "")

    @act("copying keeping tagging", account=ANYBODY, pick=PICKS, key=KEYS, value=VALUES)
    def tag(self, account: str | None, pick: int, key: str, value: str | None) -> str:
        account, image_id = self.image(account, pick)
        told = self.tagging(account, image_id, key, value)
        return self.both(told, self.rules.tag(account, image_id, key, value))

    @act("all", account=ACCOUNTS, disabled=(True, False), deprecated=(True, False))
    def list_images(self, account: str, disabled: bool, deprecated: bool) -> str:
        asked = {"IncludeDisabled": disabled, "IncludeDeprecated": deprecated}
        found = ask(self.svc, "DescribeImages", account, **asked)["Images"]
        told = {each["ImageId"]: facts_told(each) for each in found}
        seen = self.rules.listed(account, disabled=disabled, deprecated=deprecated)
        return self.both(told, {each: self.facts_ruled(account, each) for each in seen})

    def facts_ruled(self, account: str, image_id: str) -> tuple[Any, ...]:
        image = self.rules.images[image_id]
        at = self.rules.out_of_date_at(image)
        return (
            image.owner,
            image.state,
            image.public,
            PROTECTED[image.protection],
            None if at is None else iso(at),
            self.rules.tags_seen(account, image.owner, image_id),
        )


def facts_told(image: dict[str, Any]) -> tuple[Any, ...]:
    names = ("OwnerId", "State", "Public", "DeregistrationProtection", "DeprecationTime")
    return (*(image.get(name) for name in names), tags_of(image))
