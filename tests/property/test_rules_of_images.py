"""Accounts do to images and snapshots whatever comes, and what happens is what the rules say.

A small model of the rules (support/rules) and the real operations on a catalog in memory are
driven side by side: each refusal and each listing must be the same.
"""

from random import Random  # noqa: TID251 (of a seed that Hypothesis gives)

import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test

from support.builders import ALICE, BOB, CAROL
from support.rules.acts_on_bins import KINDS
from support.rules.acts_on_images import ActsOnImages
from support.rules.driven import acts, taken, topics

RUNS, STEPS = 66, 160  # the first run is of one step, as Hypothesis has it
STEPS_AT_LEAST = 10_000
GRANTED_AT_LEAST = 10


class ImagesOfThreeAccounts(ActsOnImages):
    """From a few images on, in each run about a few topics: what takes many steps of one kind to
    come about would hardly ever come about where all kinds are as likely."""

    @initialize(chance=st.randoms(use_true_random=True))
    def begins(self, chance: Random) -> None:
        """All choices of a run are of one number: Hypothesis would choose the first of few things,
        and what it chose before, much more often than others, for the sake of shrinking."""
        self.chance, self.count = chance, 0
        about = chance.sample(topics(), chance.randint(1, 3))
        kept = () if chance.random() < 0.2 else tuple(KINDS)
        self.possible = [name for name, act in acts.items() if act.topics & {*about, "all"}]
        for account in (ALICE, BOB, CAROL):
            for kind in kept:
                self.keep(account, kind, 30, "")
        for account, name in ((ALICE, "web"), (BOB, "data"), (ALICE, "base")):
            self.add_snapshot(account)
            self.register(account, name, 5)
            self.add_volume(account)

    @rule()
    def something_happens(self) -> None:
        name = self.chance.choice(self.possible)
        given = {key: self.chance.choice(choices) for key, choices in acts[name].given.items()}
        note(f"{name} {given}")
        outcome: str = getattr(self, name)(**given)
        self.count += 1
        taken[name, outcome] += 1

    @invariant()
    def everybody_sees_what_is_theirs_to_see(self) -> None:
        if self.count % 3 == 1:
            account = (ALICE, BOB, CAROL)[self.count // 3 % 3]
            self.list_images(account, disabled=True, deprecated=self.count % 2 == 0)
        if self.count % 3 == 2:
            self.list_snapshots((ALICE, BOB, CAROL)[self.count // 3 % 3])


@pytest.mark.timeout(900)  # about a minute of one core, which others may share
def test_ten_thousand_requests_of_three_accounts_are_answered_as_the_rules_say() -> None:
    taken.clear()
    run_state_machine_as_test(
        ImagesOfThreeAccounts,
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=STEPS,
            derandomize=True,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            phases=[Phase.generate],  # to shrink a hundred steps takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert taken.total() >= STEPS_AT_LEAST
    granted = {name: taken[name, ""] for name in acts}
    assert min(granted.values()) >= GRANTED_AT_LEAST, granted
