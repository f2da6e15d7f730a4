"""What accounts do to their images and each other's."""

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from support.asking import ask
from support.builders import ALICE, BOB, CAROL, HERE
from support.rules.acts_on_snapshots import KEYS, VALUES, ActsOnSnapshots, tags_of
from support.rules.driven import ACCOUNTS, ANYBODY, PICKS, act

GROUPS = st.sampled_from([ALICE, BOB, CAROL, "all", "org", "unit"])
NAMES = st.sampled_from(["web", "data", "base"])
DEPRECATIONS = st.sampled_from([None, -1, 0, 1, 30, 700, 731, 732, 3653, 3654])
PROTECTIONS = st.sampled_from(["none", "none", "without cooldown", "with cooldown"])


class ActsOnImages(ActsOnSnapshots):
    @act(account=ANYBODY, name=NAMES, pick=PICKS)
    def register(self, account: str | None, name: str, pick: int) -> None:
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
        self.both(told, self.rules.register(account, name, snapshot_id, image_id))
        if image_id:
            self.image_ids.append(image_id)

    @act(account=ANYBODY, name=NAMES, pick=PICKS, copy_tags=st.booleans())
    def copy(self, account: str | None, name: str, pick: int, copy_tags: bool) -> None:
        account, image_id = self.image(account, pick)
        asked = {"SourceImageId": image_id, "SourceRegion": HERE, "Name": name}
        told = self.refusal("CopyImage", account, **asked, CopyImageTags=copy_tags)
        copied = ("", "")
        if not told:
            copied = (self.answer["ImageId"], self.snapshot_of(account, self.answer["ImageId"]))
            self.image_ids.append(copied[0])
            self.snapshot_ids.append(copied[1])
        ruled = self.rules.copy(account, image_id, name, copy_tags=copy_tags, copied=copied)
        self.both(told, ruled)

    def snapshot_of(self, account: Any, image_id: str) -> str:
        (image,) = ask(self.svc, "DescribeImages", account, ImageIds=[image_id])["Images"]
        return str(image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"])

    @act(account=ANYBODY, pick=PICKS)
    def launch(self, account: str | None, pick: int) -> None:
        account, image_id = self.image(account, pick)
        asked = {"InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, "ImageId": image_id}
        told = self.refusal("RunInstances", account, dry=True, **asked)
        self.both(told, self.rules.launch(account, image_id))

    @act(account=ANYBODY, pick=PICKS, delete=st.booleans())
    def deregister(self, account: str | None, pick: int, delete: bool) -> None:
        account, image_id = self.image(account, pick)
        asked = {"ImageId": image_id, "DeleteAssociatedSnapshots": delete}
        told = self.refusal("DeregisterImage", account, **asked)
        self.both(told, self.rules.deregister(account, image_id, delete=delete))

    @act(account=ANYBODY, pick=PICKS)
    def restore_image(self, account: str | None, pick: int) -> None:
        account, image_id = self.binned(account, pick, self.rules.images)
        told = self.refusal("RestoreImageFromRecycleBin", account, ImageId=image_id)
        self.both(told, self.rules.restore_image(account, image_id))

    @act(account=ANYBODY, pick=PICKS, whom=GROUPS, add=st.booleans())
    def share(self, account: str | None, pick: int, whom: str, add: bool) -> None:
        account, image_id = self.image(account, pick)
        change = {"Add" if add else "Remove": [self.permission(whom)]}
        asked = {"ImageId": image_id, "LaunchPermission": change}
        told = self.refusal("ModifyImageAttribute", account, **asked)
        self.both(told, self.rules.share(account, image_id, whom, add=add))

    @act(account=ANYBODY, pick=PICKS, cancel=st.booleans())
    def unshare(self, account: str | None, pick: int, cancel: bool) -> None:
        account, image_id = self.image(account, pick)
        if cancel:
            told = self.refusal("CancelImageLaunchPermission", account, ImageId=image_id)
            self.both(told, self.rules.cancel(account, image_id))
        else:
            asked = {"ImageId": image_id, "Attribute": "launchPermission"}
            told = self.refusal("ResetImageAttribute", account, **asked)
            self.both(told, self.rules.unshare(account, image_id))

    @act(account=ANYBODY, pick=PICKS)
    def list_permissions(self, account: str | None, pick: int) -> None:
        account, image_id = self.image(account, pick)
        asked = {"ImageId": image_id, "Attribute": "launchPermission"}
        told = self.refusal("DescribeImageAttribute", account, **asked)
        given = self.permitted(self.answer.get("LaunchPermissions", []))
        self.both((told, given), self.rules.permissions(account, image_id))

    @act(account=ANYBODY, pick=PICKS, on=st.booleans())
    def switch(self, account: str | None, pick: int, on: bool) -> None:
        account, image_id = self.image(account, pick)
        told = self.refusal("EnableImage" if on else "DisableImage", account, ImageId=image_id)
        self.both(told, self.rules.switch(account, image_id, on=on))

    @act(account=ANYBODY, pick=PICKS, days=DEPRECATIONS)
    def deprecate(self, account: str | None, pick: int, days: int | None) -> None:
        account, image_id = self.image(account, pick)
        if days is None:
            told = self.refusal("DisableImageDeprecation", account, ImageId=image_id)
            self.both(told, self.rules.deprecate(account, image_id, None))
            return
        at = self.rules.now + timedelta(days=days)
        told = self.refusal("EnableImageDeprecation", account, ImageId=image_id, DeprecateAt=at)
        self.both(told, self.rules.deprecate(account, image_id, at))

    @act(account=ANYBODY, pick=PICKS, kind=PROTECTIONS)
    def protect(self, account: str | None, pick: int, kind: str) -> None:
        account, image_id = self.image(account, pick)
        if kind == "none":
            operation = "DisableImageDeregistrationProtection"
            told = self.refusal(operation, account, ImageId=image_id)
        else:
            operation, cooldown = "EnableImageDeregistrationProtection", kind == "with cooldown"
            told = self.refusal(operation, account, ImageId=image_id, WithCooldown=cooldown)
        self.both(told, self.rules.protect(account, image_id, kind))

    @act(account=ACCOUNTS, block=st.booleans())
    def block_images(self, account: str, block: bool) -> None:
        if block:
            asked = {"ImageBlockPublicAccessState": "block-new-sharing"}
            told = self.refusal("EnableImageBlockPublicAccess", account, **asked)
            self.rules.blocked.add(account)
        else:
            told = self.refusal("DisableImageBlockPublicAccess", account)
            self.rules.blocked.discard(account)
        self.both(told, "")

    @act(account=ANYBODY, pick=PICKS, key=KEYS, value=VALUES)
    def tag(self, account: str | None, pick: int, key: str, value: str | None) -> None:
        account, image_id = self.image(account, pick)
        told = self.tagging(account, image_id, key, value)
        self.both(told, self.rules.tag(account, image_id, key, value))

    @act(account=ACCOUNTS, disabled=st.booleans(), deprecated=st.booleans())
    def list_images(self, account: str, disabled: bool, deprecated: bool) -> None:
        asked = {"IncludeDisabled": disabled, "IncludeDeprecated": deprecated}
        found = ask(self.svc, "DescribeImages", account, **asked)["Images"]
        told = {
            each["ImageId"]: (each["State"], each["Public"], tags_of(each), each["OwnerId"])
            for each in found
        }
        seen = self.rules.listed(account, disabled=disabled, deprecated=deprecated)
        ruled = {image_id: self.rules.images[image_id] for image_id in seen}
        self.both(
            told,
            {
                key: (each.state, each.public, self.tags_seen(account, key), each.owner)
                for key, each in ruled.items()
            },
        )

    def tags_seen(self, account: str, image_id: str) -> dict[str, str]:
        return self.rules.tags_seen(account, self.rules.images[image_id].owner, image_id)
