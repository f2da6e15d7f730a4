"""Three accounts and their organization, asked for real and by the rules at once."""

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

from hypothesis.stateful import RuleBasedStateMachine

from openami.actions import organizations
from openami.domain.errors import EC2Error
from openami.workflows import delete_volume, purge_images, recycle_bin
from support.asking import ask, put_accounts
from support.builders import ALICE, BOB, CAROL, EPOCH
from support.fakes import StoppedClock, services
from support.rules.images import Rules
from support.rules.retention import DAY, HOUR

ACCOUNTS = (ALICE, BOB, CAROL)
ANYBODY = (*4 * [None], ALICE, BOB, CAROL)  # None: whoever owns what is picked
PICKS = tuple(range(10))
TIMES = (
    *2 * (HOUR / 2, HOUR, 12 * HOUR, 3 * DAY, 8 * DAY),
    *4 * (DAY,),
    *(41 * DAY, 365 * DAY),
)
Method = TypeVar("Method", bound=Callable[..., str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What may happen in a run about one of its topics, given one of each of these."""

    topics: frozenset[str]
    given: Mapping[str, Sequence[Any]]


acts: dict[str, Act] = {}
taken: Counter[tuple[str, str]] = Counter()
"""How often which act had which outcome: the code of the refusal, or ""."""


def act(about: str, **given: Sequence[Any]) -> Callable[[Method], Method]:
    """`about`: the topics of the act; "all" is every one."""

    def kept(method: Method) -> Method:
        acts[method.__name__] = Act(topics=frozenset(about.split()), given=given)
        return method

    return kept


def topics() -> list[str]:
    return sorted(frozenset[str]().union(*(each.topics for each in acts.values())) - {"all"})


class Owned(Protocol):
    owner: str


class Driven(RuleBasedStateMachine):
    """What happens to one thing again and again, and now and then to others or what is gone."""

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
        self.ever: dict[str, list[str]] = {
            "image": ["ami-0123456789abcdef0"],
            "snapshot": ["snap-0123456789abcdef0"],
            "volume": ["vol-0123456789abcdef0"],
            "rule": ["0123456789a"],
        }
        self.before: dict[str, str] = {}
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

    def both(self, told: Any, ruled: Any) -> str:
        """What was told, if that is a refusal."""
        assert told == ruled, f"told {told}; ruled {ruled}"
        return told if isinstance(told, str) else ""

    def one(
        self, noun: str, pick: int, known: Mapping[str, Owned], special: Sequence[str] = ()
    ) -> tuple[str, str]:
        """Its owner, and one of the known: mostly the one that was picked before. Things come of
        what happens to one and the same in a row, not of what happens to many once."""
        ever, live = self.ever[noun], list(known)
        chosen = self.before.get(noun, "")
        if pick == 9 or not live:
            chosen = next((each for each in reversed(ever) if each not in known), ever[-1])
        elif pick > 6 and special:
            chosen = special[-1 - pick % min(2, len(special))]
        elif pick > 4 or chosen not in known:
            chosen = live[-1 - pick % min(3, len(live))]
        if chosen in known:
            self.before[noun] = chosen
            return known[chosen].owner, chosen
        return ALICE, chosen

    def image(self, account: str | None, pick: int) -> tuple[str, str]:
        """One of the images, and who asks: its owner if nobody is given."""
        live = {key: each for key, each in self.rules.images.items() if not each.deregistered}
        special = [
            key
            for key, each in live.items()
            if each.shared
            or each.deprecated
            or each.state == "disabled"
            or each.protection != "none"
            or each.cooldown_until
        ]
        owner, image_id = self.one("image", pick, live, special)
        return account or owner, image_id

    def snapshot(self, account: str | None, pick: int) -> tuple[str, str]:
        """As `image`. The special ones are those that are locked, or else those that are shared."""
        known = self.rules.snapshots
        locked = [key for key, each in known.items() if each.lock]
        special = locked or [key for key, each in known.items() if each.shared or each.public]
        owner, snapshot_id = self.one("snapshot", pick, known, special)
        return account or owner, snapshot_id

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

    @act("sharing", account=(ALICE, CAROL), place=("org", "unit", ""))
    def move(self, account: str, place: str) -> str:
        """Into the organization or its unit, or out of it."""
        with self.svc.catalog.begin() as tx:
            if place:
                organizations.add_account(tx, account, self.arns[place])
            elif account in self.rules.places:
                organizations.remove(tx, account)
        self.rules.places[account] = place
        if not place:
            del self.rules.places[account]
        return ""

    @act(
        "all",
        by=TIMES,
        swept=(True, True, False),
    )
    def time_passes(self, by: timedelta, swept: bool) -> str:
        assert isinstance(self.svc.clock, StoppedClock)
        self.svc.clock.advance(by)
        self.rules.now += by
        if swept:
            recycle_bin.resume(self.svc)
            delete_volume.resume(self.svc)
            purge_images.resume(self.svc)
            self.rules.sweep()
        return ""
