"""Accounts do to images and snapshots whatever comes, and what happens is what the rules say.

A small model of the rules (support/image_rules) and the real operations on a catalog in memory
are driven side by side: each refusal and each listing must be the same.
"""

import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from openami.actions import organizations
from openami.domain.errors import EC2Error
from openami.workflows import purge_images, recycle_bin
from support.asking import ask, put, put_accounts
from support.bins import a_rule, ask_bin
from support.builders import ALICE, BOB, CAROL, EPOCH, a_snapshot
from support.fakes import StoppedClock, services
from support.image_rules import DAY, HOUR, RuledSnapshot, Rules

STEPS_AT_LEAST = 10_000
ACCOUNTS = st.sampled_from([ALICE, BOB, CAROL])
WHOM = st.sampled_from([ALICE, BOB, CAROL, "all"])
GROUPS = st.sampled_from([ALICE, BOB, CAROL, "all", "org", "unit"])
KINDS = {"image": "EC2_IMAGE", "snapshot": "EBS_SNAPSHOT"}
PICKS = st.integers(0, 3)
LOCKS = [("governance", 40, 0), ("compliance", 1, 0), ("compliance", 40, 24), ("compliance", 40, 0)]
ANYBODY = st.sampled_from([None, None, ALICE, BOB, CAROL])  # None: whoever owns what is picked
taken = {"steps": 0}


_acts: dict[str, st.SearchStrategy[dict[str, Any]]] = {}


def act(**given: st.SearchStrategy[Any]) -> Any:
    """One of the things that happen, all equally often: rules of their own would not be."""

    def kept(method: Any) -> Any:
        _acts[method.__name__] = st.fixed_dictionaries(given)
        return method

    return kept


class ImagesOfThreeAccounts(RuleBasedStateMachine):
    """What happens to the newest of them, and now and then to one that is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.svc = services(Path(self.directory.name))
        put_accounts(self.svc, ALICE, BOB, CAROL)
        self.rules = Rules(now=EPOCH, places={BOB: "org"})
        with self.svc.catalog.begin() as tx:
            top = organizations.create_organization(tx, self.svc.clock, self.svc.ids, BOB)
            unit = organizations.create_unit(tx, self.svc.ids, top.arn, "unit")
        self.arns: dict[str, str] = {"org": top.arn, "unit": unit}
        self.retaining: dict[tuple[str, str], list[str]] = {}
        self.count = 0
        self.image_ids: list[str] = ["ami-0123456789abcdef0"]
        self.snapshot_ids: list[str] = []
        for kind in KINDS:
            self.keep(ALICE, kind, 1)
            self.keep(ALICE, kind, 30)
        for account, name in ((ALICE, "web"), (BOB, "data"), (ALICE, "base")):
            self.add_snapshot(account)
            self.register(account, name, 0)

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
        live = [key for key, each in self.rules.images.items() if each.state != "deregistered"]
        return picked(pick, live, self.image_ids)

    def snapshot(self, pick: int) -> str:
        return picked(pick, list(self.rules.snapshots), self.snapshot_ids)

    def binned(self, pick: int, known: dict[str, Any]) -> str:
        """One of the newest of these kinds that are in a bin, or of all that there are."""
        live = [key for key, each in known.items() if each.bin_until is not None]
        return picked(pick, live, list(known) or self.image_ids)

    def owner(self, resource_id: str) -> str:
        known = {**self.rules.images, **self.rules.snapshots, **self.rules.binned}
        found = known.get(resource_id)
        return ALICE if found is None else found.owner

    def permission(self, whom: str) -> dict[str, str]:
        if whom in self.arns:
            name = "OrganizationArn" if whom == "org" else "OrganizationalUnitArn"
            return {name: self.arns[whom]}
        return {"Group": "all"} if whom == "all" else {"UserId": whom}

    def both(self, told: str, ruled: str) -> None:
        taken["steps"] += 1
        assert told == ruled

    @act(account=ACCOUNTS)
    def add_snapshot(self, account: Any) -> None:
        snapshot = a_snapshot(id=self.svc.ids.new("snap"), owner=account)
        put(self.svc, snapshot)
        self.snapshot_ids.append(snapshot.id)
        self.rules.snapshots[snapshot.id] = RuledSnapshot(owner=account)
        taken["steps"] += 1

    @act(account=ANYBODY, name=st.sampled_from(["web", "data", "base"]), pick=PICKS)
    def register(self, account: str | None, name: str, pick: int) -> None:
        snapshot_id = self.snapshot(pick)
        account = account or self.owner(snapshot_id)
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
        image_id = "" if told else self.answer["ImageId"]
        self.both(told, self.rules.register(account, name, snapshot_id, image_id))
        if image_id:
            self.image_ids.append(image_id)

    @act(account=ANYBODY, pick=PICKS)
    def launch(self, account: str | None, pick: int) -> None:
        image_id = self.image(pick)
        account = account or self.owner(image_id)
        asked = {"InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, "ImageId": image_id}
        told = self.refusal("RunInstances", account, dry=True, **asked)
        self.both(told, self.rules.launch(account, image_id))

    @act(account=ANYBODY, pick=PICKS, delete=st.booleans())
    def deregister(self, account: str | None, pick: int, delete: bool) -> None:
        image_id = self.image(pick)
        account = account or self.owner(image_id)
        asked = {"ImageId": image_id, "DeleteAssociatedSnapshots": delete}
        told = self.refusal("DeregisterImage", account, **asked)
        self.both(told, self.rules.deregister(account, image_id, delete=delete))

    @act(account=ANYBODY, pick=PICKS)
    def delete_snapshot(self, account: str | None, pick: int) -> None:
        snapshot_id = self.snapshot(pick)
        account = account or self.owner(snapshot_id)
        told = self.refusal("DeleteSnapshot", account, SnapshotId=snapshot_id)
        self.both(told, self.rules.delete_snapshot(account, snapshot_id))

    @act(account=ACCOUNTS, kind=st.sampled_from(list(KINDS)), days=st.sampled_from([None, 1, 30]))
    def keep(self, account: Any, kind: str, days: int | None) -> None:
        """Another retention rule; None takes away those of the account."""
        if days is None:
            for rule_id in self.retaining.pop((account, kind), []):
                ask_bin(self.svc, "DeleteRule", account, Identifier=rule_id)
        else:
            rule_id = a_rule(self.svc, KINDS[kind], days, account=account)
            self.retaining.setdefault((account, kind), []).append(rule_id)
        self.rules.keep(account, kind, days)
        taken["steps"] += 1

    @act(account=ANYBODY, pick=PICKS)
    def restore_image(self, account: str | None, pick: int) -> None:
        image_id = self.binned(pick, self.rules.images)
        account = account or self.owner(image_id)
        told = self.refusal("RestoreImageFromRecycleBin", account, ImageId=image_id)
        self.both(told, self.rules.restore_image(account, image_id))

    @act(account=ANYBODY, pick=PICKS)
    def restore_snapshot(self, account: str | None, pick: int) -> None:
        snapshot_id = self.binned(pick, self.rules.binned or self.rules.snapshots)
        account = account or self.owner(snapshot_id)
        told = self.refusal("RestoreSnapshotFromRecycleBin", account, SnapshotId=snapshot_id)
        self.both(told, self.rules.restore_snapshot(account, snapshot_id))

    @act(account=ACCOUNTS)
    def list_bin(self, account: Any) -> None:
        images = ask(self.svc, "ListImagesInRecycleBin", account)["Images"]
        snapshots = ask(self.svc, "ListSnapshotsInRecycleBin", account)["Snapshots"]
        told = {each["ImageId"] for each in images} | {each["SnapshotId"] for each in snapshots}
        assert told == self.rules.in_bin(account)
        taken["steps"] += 1

    @act(account=ANYBODY, pick=PICKS, asked=st.sampled_from(LOCKS))
    def lock(self, account: str | None, pick: int, asked: tuple[str, int, int]) -> None:
        snapshot_id = self.snapshot(pick)
        account = account or self.owner(snapshot_id)
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

    @act(account=ANYBODY, pick=PICKS)
    def unlock(self, account: str | None, pick: int) -> None:
        snapshot_id = self.snapshot(pick)
        account = account or self.owner(snapshot_id)
        told = self.refusal("UnlockSnapshot", account, SnapshotId=snapshot_id)
        self.both(told, self.rules.unlock(account, snapshot_id))

    @act(account=st.sampled_from([ALICE, CAROL]), place=st.sampled_from(["org", "unit", ""]))
    def move(self, account: str, place: str) -> None:
        """Into the organization or its unit, or out of it."""
        with self.svc.catalog.begin() as tx:
            if place:
                organizations.add_account(tx, account, self.arns[place])
            elif account in self.rules.places:
                organizations.remove(tx, account)
        self.rules.places[account] = place
        if not place:
            del self.rules.places[account]
        taken["steps"] += 1

    @act(account=ANYBODY, pick=PICKS, whom=GROUPS, add=st.booleans())
    def share(self, account: str | None, pick: int, whom: str, add: bool) -> None:
        image_id = self.image(pick)
        account = account or self.owner(image_id)
        change = {"Add" if add else "Remove": [self.permission(whom)]}
        told = self.refusal(
            "ModifyImageAttribute", account, ImageId=image_id, LaunchPermission=change
        )
        self.both(told, self.rules.share(account, image_id, whom, add=add))

    @act(account=ANYBODY, pick=PICKS, whom=WHOM, add=st.booleans())
    def share_snapshot(self, account: str | None, pick: int, whom: str, add: bool) -> None:
        snapshot_id = self.snapshot(pick)
        account = account or self.owner(snapshot_id)
        change = {"Add" if add else "Remove": [self.permission(whom)]}
        told = self.refusal(
            "ModifySnapshotAttribute",
            account,
            SnapshotId=snapshot_id,
            CreateVolumePermission=change,
        )
        self.both(told, self.rules.share_snapshot(account, snapshot_id, whom, add=add))

    @act(account=ANYBODY, pick=PICKS, cancel=st.booleans())
    def unshare(self, account: str | None, pick: int, cancel: bool) -> None:
        image_id = self.image(pick)
        account = account or self.owner(image_id)
        if cancel:
            told = self.refusal("CancelImageLaunchPermission", account, ImageId=image_id)
            self.both(told, self.rules.cancel(account, image_id))
        else:
            asked = {"ImageId": image_id, "Attribute": "launchPermission"}
            told = self.refusal("ResetImageAttribute", account, **asked)
            self.both(told, self.rules.unshare(account, image_id))

    @act(account=ANYBODY, pick=PICKS, on=st.booleans())
    def switch(self, account: str | None, pick: int, on: bool) -> None:
        image_id = self.image(pick)
        account = account or self.owner(image_id)
        told = self.refusal("EnableImage" if on else "DisableImage", account, ImageId=image_id)
        self.both(told, self.rules.switch(account, image_id, on=on))

    @act(
        account=ANYBODY,
        pick=PICKS,
        days=st.sampled_from([None, -1, 0, 1, 30, 700, 731, 732, 3653, 3654]),
    )
    def deprecate(self, account: str | None, pick: int, days: int | None) -> None:
        image_id = self.image(pick)
        account = account or self.owner(image_id)
        if days is None:
            told = self.refusal("DisableImageDeprecation", account, ImageId=image_id)
            self.both(told, self.rules.deprecate(account, image_id, None))
            return
        at = self.rules.now + timedelta(days=days)
        told = self.refusal("EnableImageDeprecation", account, ImageId=image_id, DeprecateAt=at)
        self.both(told, self.rules.deprecate(account, image_id, at))

    @act(
        account=ANYBODY,
        pick=PICKS,
        kind=st.sampled_from(["none", "none", "without cooldown", "with cooldown"]),
    )
    def protect(self, account: str | None, pick: int, kind: str) -> None:
        image_id = self.image(pick)
        account = account or self.owner(image_id)
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

    @act(account=ACCOUNTS, state=st.sampled_from([None, "block-new-sharing", "block-all-sharing"]))
    def block_snapshots(self, account: str, state: str | None) -> None:
        if state is None:
            told = self.refusal("DisableSnapshotBlockPublicAccess", account)
            self.rules.blocked_snapshots.pop(account, None)
        else:
            told = self.refusal("EnableSnapshotBlockPublicAccess", account, State=state)
            self.rules.blocked_snapshots[account] = state
        self.both(told, "")

    @act(by=st.sampled_from([HOUR / 2, HOUR, 12 * HOUR, DAY, 30 * DAY, 365 * DAY]))
    def time_passes(self, by: timedelta) -> None:
        assert isinstance(self.svc.clock, StoppedClock)
        self.svc.clock.advance(by)
        recycle_bin.resume(self.svc)
        purge_images.resume(self.svc)
        self.rules.pass_time(by)
        taken["steps"] += 1

    @act(account=ACCOUNTS, disabled=st.booleans(), deprecated=st.booleans())
    def list_images(self, account: str, disabled: bool, deprecated: bool) -> None:
        asked = {"IncludeDisabled": disabled, "IncludeDeprecated": deprecated}
        found = ask(self.svc, "DescribeImages", account, **asked)["Images"]
        ruled = self.rules.listed(account, disabled=disabled, deprecated=deprecated)
        assert {each["ImageId"] for each in found} == ruled
        for each in found:
            image = self.rules.images[each["ImageId"]]
            assert (each["State"], each["Public"]) == (image.state, image.public)
        taken["steps"] += 1

    @rule(step=st.one_of(*(st.tuples(st.just(name), given) for name, given in _acts.items())))
    def something_happens(self, step: tuple[str, dict[str, Any]]) -> None:
        name, given = step
        self.count += 1
        getattr(self, name)(**given)

    @invariant()
    def everybody_sees_what_is_theirs_to_see(self) -> None:
        account = (ALICE, BOB, CAROL)[self.count % 3]
        if self.count % 2:
            found = ask(self.svc, "DescribeImages", account, IncludeDisabled=True)["Images"]
            ruled = self.rules.listed(account, disabled=True, deprecated=False)
            assert {each["ImageId"] for each in found} == ruled
            return
        kept = ask(self.svc, "DescribeSnapshots", account)["Snapshots"]
        assert {each["SnapshotId"] for each in kept} == self.rules.listed_snapshots(account)


def picked(pick: int, live: list[str], ever: list[str]) -> str:
    """One of the newest that are there; sometimes the newest of all, which may be gone."""
    if pick == 3 or not live:
        return ever[-1]
    return live[-1 - pick % len(live)]


@pytest.mark.timeout(900)  # about a minute of one core, which others may share
def test_ten_thousand_requests_of_three_accounts_are_answered_as_the_rules_say() -> None:
    taken["steps"] = 0
    run_state_machine_as_test(
        ImagesOfThreeAccounts,
        settings=settings(
            max_examples=96,
            stateful_step_count=100,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # to shrink a hundred steps takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert taken["steps"] >= STEPS_AT_LEAST
