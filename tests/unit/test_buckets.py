"""Whose a bucket is, when its name changes hands."""

from datetime import timedelta
from pathlib import Path

import pytest

from openami.actions import buckets
from openami.domain.bucket import Bucket
from openami.domain.ids import AccountId
from openami.services import Services
from support.asking import put_accounts
from support.builders import ALICE, BOB, HERE, a_caller
from support.fakes import StoppedClock, services

NAME = "disks"


@pytest.fixture
def svc(tmp_path: Path) -> Services:
    made = services(tmp_path)
    put_accounts(made, ALICE, BOB)
    return made


def claimed(svc: Services, owner: AccountId = ALICE) -> Bucket:
    bucket = buckets.claim_bucket(svc, a_caller(owner), NAME, HERE)
    assert bucket is not None
    return bucket


def test_a_bucket_is_claimed_once(svc: Services) -> None:
    assert claimed(svc).owner == ALICE
    assert buckets.claim_bucket(svc, a_caller(ALICE), NAME, HERE) is None


@pytest.mark.parametrize("later", [ALICE, BOB])
def test_a_second_release_of_a_bucket_leaves_the_next_owner_s(
    svc: Services, later: AccountId
) -> None:
    first = claimed(svc)
    buckets.release_bucket(svc, first)
    assert isinstance(svc.clock, StoppedClock)
    svc.clock.advance(timedelta(microseconds=1))
    second = claimed(svc, later)
    buckets.release_bucket(svc, first)
    assert buckets.head_bucket(svc, a_caller(later), NAME) == second
    buckets.release_bucket(svc, second)
    assert buckets.list_buckets(svc, a_caller(later)) == []
