"""Accounts do to images and snapshots whatever comes, and what happens is what the rules say.

A small model of the rules (support/image_rules) and the real operations on a catalog in memory
are driven side by side: each refusal and each listing must be the same.
"""

import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from openami.domain.errors import EC2Error
from openami.workflows import purge_images
from support.asking import ask, put, put_accounts
from support.builders import ALICE, BOB, CAROL, EPOCH, a_snapshot
from support.fakes import StoppedClock, services
from support.image_rules import DAY, HOUR, RuledSnapshot, Rules

STEPS_AT_LEAST = 10_000
ACCOUNTS = st.sampled_from([ALICE, BOB, CAROL])
WHOM = st.sampled_from([ALICE, BOB, CAROL, "all"])
PICKS = st.integers(0, 15)
taken = {"steps": 0}


class ImagesOfThreeAccounts(RuleBasedStateMachine):
    """`pick` chooses among the newest of all ids there ever were, so also what is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.svc = services(Path(self.directory.name))
        put_accounts(self.svc, ALICE, BOB, CAROL)
        self.rules = Rules(now=EPOCH)
        self.image_ids: list[str] = ["ami-0123456789abcdef0"]
        self.snapshot_ids: list[str] = []
        self.add_snapshot(ALICE)

    def teardown(self) -> None:
        self.svc.catalog.close()
        self.directory.cleanup()

    def refusal(self, operation: str, account: str, *, dry: bool = False, **request: Any) -> str:
        catalog = self.svc.catalog.dry_run() if dry else self.svc.catalog
        try:
            self.answer = ask(replace(self.svc, catalog=catalog), operation, account, **request)
        except EC2Error as refused:
            return "" if refused.code == "DryRunOperation" else refused.code
        return ""

    def image(self, pick: int) -> str:
        return self.image_ids[-1 - pick % len(self.image_ids)]

    def snapshot(self, pick: int) -> str:
        return self.snapshot_ids[-1 - pick % len(self.snapshot_ids)]

    def both(self, told: str, ruled: str) -> None:
        taken["steps"] += 1
        assert told == ruled

    @rule(account=ACCOUNTS)
    def add_snapshot(self, account: Any) -> None:
        snapshot = a_snapshot(id=self.svc.ids.new("snap"), owner=account)
        put(self.svc, snapshot)
        self.snapshot_ids.append(snapshot.id)
        self.rules.snapshots[snapshot.id] = RuledSnapshot(owner=account)
        taken["steps"] += 1

    @rule(account=ACCOUNTS, name=st.sampled_from(["web", "data", "base"]), pick=PICKS)
    def register(self, account: str, name: str, pick: int) -> None:
        root = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": self.snapshot(pick)}}
        told = self.refusal(
            "RegisterImage",
            account,
            Name=name,
            RootDeviceName="/dev/xvda",
            Architecture="x86_64",
            VirtualizationType="hvm",
            BlockDeviceMappings=[root],
        )
        image_id = "" if told else self.answer["ImageId"]
        self.both(told, self.rules.register(account, name, self.snapshot(pick), image_id))
        if image_id:
            self.image_ids.append(image_id)

    @rule(account=ACCOUNTS, pick=PICKS)
    def launch(self, account: str, pick: int) -> None:
        image_id = self.image(pick)
        asked = {"InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, "ImageId": image_id}
        told = self.refusal("RunInstances", account, dry=True, **asked)
        self.both(told, self.rules.launch(account, image_id))

    @rule(account=ACCOUNTS, pick=PICKS, delete=st.booleans())
    def deregister(self, account: str, pick: int, delete: bool) -> None:
        image_id = self.image(pick)
        asked = {"ImageId": image_id, "DeleteAssociatedSnapshots": delete}
        told = self.refusal("DeregisterImage", account, **asked)
        self.both(told, self.rules.deregister(account, image_id, delete=delete))

    @rule(account=ACCOUNTS, pick=PICKS)
    def delete_snapshot(self, account: str, pick: int) -> None:
        snapshot_id = self.snapshot(pick)
        told = self.refusal("DeleteSnapshot", account, SnapshotId=snapshot_id)
        self.both(told, self.rules.delete_snapshot(account, snapshot_id))

    @rule(account=ACCOUNTS, pick=PICKS, whom=WHOM, add=st.booleans())
    def share(self, account: str, pick: int, whom: str, add: bool) -> None:
        image_id = self.image(pick)
        change = {"Add" if add else "Remove": [_permission(whom)]}
        told = self.refusal(
            "ModifyImageAttribute", account, ImageId=image_id, LaunchPermission=change
        )
        self.both(told, self.rules.share(account, image_id, whom, add=add))

    @rule(account=ACCOUNTS, pick=PICKS, whom=WHOM, add=st.booleans())
    def share_snapshot(self, account: str, pick: int, whom: str, add: bool) -> None:
        snapshot_id = self.snapshot(pick)
        change = {"Add" if add else "Remove": [_permission(whom)]}
        told = self.refusal(
            "ModifySnapshotAttribute",
            account,
            SnapshotId=snapshot_id,
            CreateVolumePermission=change,
        )
        self.both(told, self.rules.share_snapshot(account, snapshot_id, whom, add=add))

    @rule(account=ACCOUNTS, pick=PICKS, cancel=st.booleans())
    def unshare(self, account: str, pick: int, cancel: bool) -> None:
        image_id = self.image(pick)
        if cancel:
            told = self.refusal("CancelImageLaunchPermission", account, ImageId=image_id)
            self.both(told, self.rules.cancel(account, image_id))
        else:
            asked = {"ImageId": image_id, "Attribute": "launchPermission"}
            told = self.refusal("ResetImageAttribute", account, **asked)
            self.both(told, self.rules.unshare(account, image_id))

    @rule(account=ACCOUNTS, pick=PICKS, on=st.booleans())
    def switch(self, account: str, pick: int, on: bool) -> None:
        image_id = self.image(pick)
        told = self.refusal("EnableImage" if on else "DisableImage", account, ImageId=image_id)
        self.both(told, self.rules.switch(account, image_id, on=on))

    @rule(
        account=ACCOUNTS,
        pick=PICKS,
        days=st.sampled_from([None, -1, 0, 1, 30, 700, 731, 732, 3653, 3654]),
    )
    def deprecate(self, account: str, pick: int, days: int | None) -> None:
        image_id = self.image(pick)
        if days is None:
            told = self.refusal("DisableImageDeprecation", account, ImageId=image_id)
            self.both(told, self.rules.deprecate(account, image_id, None))
            return
        at = self.rules.now + timedelta(days=days)
        told = self.refusal("EnableImageDeprecation", account, ImageId=image_id, DeprecateAt=at)
        self.both(told, self.rules.deprecate(account, image_id, at))

    @rule(
        account=ACCOUNTS,
        pick=PICKS,
        kind=st.sampled_from(["none", "none", "without cooldown", "with cooldown"]),
    )
    def protect(self, account: str, pick: int, kind: str) -> None:
        image_id = self.image(pick)
        if kind == "none":
            operation = "DisableImageDeregistrationProtection"
            told = self.refusal(operation, account, ImageId=image_id)
        else:
            operation, cooldown = "EnableImageDeregistrationProtection", kind == "with cooldown"
            told = self.refusal(operation, account, ImageId=image_id, WithCooldown=cooldown)
        self.both(told, self.rules.protect(account, image_id, kind))

    @rule(account=ACCOUNTS, block=st.booleans())
    def block_images(self, account: str, block: bool) -> None:
        if block:
            asked = {"ImageBlockPublicAccessState": "block-new-sharing"}
            told = self.refusal("EnableImageBlockPublicAccess", account, **asked)
            self.rules.blocked.add(account)
        else:
            told = self.refusal("DisableImageBlockPublicAccess", account)
            self.rules.blocked.discard(account)
        self.both(told, "")

    @rule(account=ACCOUNTS, state=st.sampled_from([None, "block-new-sharing", "block-all-sharing"]))
    def block_snapshots(self, account: str, state: str | None) -> None:
        if state is None:
            told = self.refusal("DisableSnapshotBlockPublicAccess", account)
            self.rules.blocked_snapshots.pop(account, None)
        else:
            told = self.refusal("EnableSnapshotBlockPublicAccess", account, State=state)
            self.rules.blocked_snapshots[account] = state
        self.both(told, "")

    @rule(by=st.sampled_from([HOUR / 2, HOUR, 12 * HOUR, DAY, 30 * DAY, 365 * DAY]))
    def time_passes(self, by: timedelta) -> None:
        assert isinstance(self.svc.clock, StoppedClock)
        self.svc.clock.advance(by)
        purge_images.resume(self.svc)
        self.rules.pass_time(by)
        taken["steps"] += 1

    @rule(account=ACCOUNTS, disabled=st.booleans(), deprecated=st.booleans())
    def list_images(self, account: str, disabled: bool, deprecated: bool) -> None:
        asked = {"IncludeDisabled": disabled, "IncludeDeprecated": deprecated}
        found = ask(self.svc, "DescribeImages", account, **asked)["Images"]
        ruled = self.rules.listed(account, disabled=disabled, deprecated=deprecated)
        assert {each["ImageId"] for each in found} == ruled
        for each in found:
            image = self.rules.images[each["ImageId"]]
            assert (each["State"], each["Public"]) == (image.state, image.public)
        taken["steps"] += 1

    @invariant()
    def everybody_sees_what_is_theirs_to_see(self) -> None:
        account = (ALICE, BOB, CAROL)[taken["steps"] % 3]
        found = ask(self.svc, "DescribeImages", account, IncludeDisabled=True)["Images"]
        ruled = self.rules.listed(account, disabled=True, deprecated=False)
        assert {each["ImageId"] for each in found} == ruled
        kept = ask(self.svc, "DescribeSnapshots", account)["Snapshots"]
        assert {each["SnapshotId"] for each in kept} == self.rules.listed_snapshots(account)


def _permission(whom: str) -> dict[str, str]:
    return {"Group": "all"} if whom == "all" else {"UserId": whom}


def test_ten_thousand_requests_of_three_accounts_are_answered_as_the_rules_say() -> None:
    taken["steps"] = 0
    run_state_machine_as_test(
        ImagesOfThreeAccounts,
        settings=settings(
            max_examples=110,
            stateful_step_count=100,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert taken["steps"] >= STEPS_AT_LEAST
