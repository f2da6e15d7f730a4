"""Three accounts and their organization, asked for real and by the rules at once."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from openami.actions import organizations
from openami.domain.errors import EC2Error
from openami.workflows import purge_images, recycle_bin
from support.asking import ask, put_accounts
from support.builders import ALICE, BOB, CAROL, EPOCH
from support.fakes import StoppedClock, services
from support.rules.images import Rules
from support.rules.retention import DAY, HOUR

ACCOUNTS = st.sampled_from([ALICE, BOB, CAROL])
ANYBODY = st.sampled_from([*4 * [None], ALICE, BOB, CAROL])  # None: whoever owns what is picked
PICKS = st.integers(0, 5)
YEAR = 365 * DAY
taken = {"steps": 0}
acts: dict[str, st.SearchStrategy[dict[str, Any]]] = {}
Method = TypeVar("Method", bound=Callable[..., None])


def act(**given: st.SearchStrategy[Any]) -> Callable[[Method], Method]:
    """One of the things that happen, all equally often: rules of their own would not be."""

    def kept(method: Method) -> Method:
        acts[method.__name__] = st.fixed_dictionaries(given)
        return method

    return kept


class Driven(RuleBasedStateMachine):
    """What happens to the newest of what there is, and now and then to one that is gone."""

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
        self.image_ids: list[str] = ["ami-0123456789abcdef0"]
        self.snapshot_ids: list[str] = []
        self.rule_ids: list[str] = []
        self.answer: dict[str, Any] = {}

    def teardown(self) -> None:
        self.svc.catalog.close()
        self.directory.cleanup()

    def refusal(self, operation: str, account: str, *, dry: bool = False, **request: Any) -> str:
        """The code; "" if there is none, and then the answer is kept."""
        catalog = self.svc.catalog.dry_run() if dry else self.svc.catalog
        self.answer = {}
        try:
            self.answer = ask(replace(self.svc, catalog=catalog), operation, account, **request)
        except EC2Error as refused:
            return "" if refused.code == "DryRunOperation" else refused.code
        return ""

    def both(self, told: Any, ruled: Any) -> None:
        taken["steps"] += 1
        assert told == ruled

    def image(self, account: str | None, pick: int) -> tuple[str, str]:
        """One of the images, and who asks: its owner if nobody is given."""
        known = self.rules.images
        live = [key for key, each in known.items() if each.state != "deregistered"]
        special = [
            key
            for key in live
            if known[key].shared
            or known[key].deprecated
            or known[key].state == "disabled"
            or known[key].protection != "none"
            or known[key].cooldown_until
        ]
        image_id = picked(pick, live, special, self.image_ids)
        return account or (known[image_id].owner if image_id in known else ALICE), image_id

    def snapshot(self, account: str | None, pick: int) -> tuple[str, str]:
        """As `image`. The special ones are those that are locked, or else those that are shared."""
        known = self.rules.snapshots
        locked = [key for key, each in known.items() if each.lock]
        special = locked or [key for key, each in known.items() if each.shared or each.public]
        snapshot_id = picked(pick, list(known), special, self.snapshot_ids)
        return account or (known[snapshot_id].owner if snapshot_id in known else ALICE), snapshot_id

    def binned(self, account: str | None, pick: int, known: dict[str, Any]) -> tuple[str, str]:
        """One of those of these kinds that are in a bin, or of all that there are."""
        live = [key for key, each in known.items() if each.bin_until is not None]
        found = picked(pick, live, [], list(known) or self.image_ids)
        return account or (known[found].owner if found in known else ALICE), found

    def permission(self, whom: str) -> dict[str, str]:
        if whom in self.arns:
            name = "OrganizationArn" if whom == "org" else "OrganizationalUnitArn"
            return {name: self.arns[whom]}
        return {"Group": "all"} if whom == "all" else {"UserId": whom}

    def permitted(self, permissions: list[dict[str, str]]) -> set[str]:
        """As the rules name those to whom permission is given."""
        names = {arn: place for place, arn in self.arns.items()}
        given = [each for permission in permissions for each in permission.values()]
        return {names.get(each, each) for each in given}

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

    @act(
        by=st.sampled_from([HOUR / 2, HOUR, 12 * HOUR, DAY, DAY, 3 * DAY, 8 * DAY, 41 * DAY, YEAR])
    )
    def time_passes(self, by: timedelta) -> None:
        assert isinstance(self.svc.clock, StoppedClock)
        self.svc.clock.advance(by)
        recycle_bin.resume(self.svc)
        purge_images.resume(self.svc)
        self.rules.pass_time(by)
        taken["steps"] += 1


def picked(pick: int, live: list[str], special: list[str], ever: list[str]) -> str:
    """Of what is there, one of the newest or of the special; sometimes the newest ever."""
    if pick == 3 or not live:
        return ever[-1]
    among = special if pick > 3 and special else live
    return among[-1 - pick % len(among)]
