"""Accounts do to images and snapshots whatever comes, and what happens is what the rules say.

A small model of the rules (support/rules) and the real operations on a catalog in memory are
driven side by side: each refusal and each listing must be the same.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from support.asking import ask
from support.builders import ALICE, BOB, CAROL
from support.rules.acts_on_images import ActsOnImages
from support.rules.acts_on_snapshots import KINDS
from support.rules.driven import acts, taken

STEPS_AT_LEAST = 10_000


class ImagesOfThreeAccounts(ActsOnImages):
    """From a few images on, which are kept for a while when they are deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        for account in (ALICE, BOB, CAROL):
            for kind in KINDS:
                self.keep(account, kind, 30)
        for account, name in ((ALICE, "web"), (BOB, "data"), (ALICE, "base")):
            self.add_snapshot(account)
            self.register(account, name, 0)

    @rule(step=st.one_of(*(st.tuples(st.just(name), given) for name, given in acts.items())))
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
        locks, ruled_locks = self.locks(account)
        assert locks == ruled_locks


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
