"""Waiting for an S3 store that is away: how long, how often, and until when."""

from collections.abc import Callable
from pathlib import Path

import pytest

from openami.objects.store import ObjectStoreError
from openami.settings import Settings
from openami.workflows.outages import away, patiently, pause_s

FOREVER_S = 3600.0


def settings(patience_s: float) -> Settings:
    return Settings(state_dir=Path("/nowhere"), s3_patience_s=patience_s)


def failing(times: int) -> Callable[[], int]:
    """Fails so many times, then tells how often it was called."""
    calls = list[int]()

    def work() -> int:
        calls.append(1)
        if len(calls) <= times:
            raise ObjectStoreError("away")
        return len(calls)

    return work


def test_what_fails_for_a_while_is_done_in_the_end() -> None:
    assert patiently(settings(FOREVER_S), "task", failing(2), lambda: None) == 3


def test_without_patience_the_first_failure_is_the_last() -> None:
    with pytest.raises(ObjectStoreError):
        patiently(settings(0), "task", failing(1), lambda: None)


def test_patience_has_an_end() -> None:
    with pytest.raises(ObjectStoreError):
        patiently(settings(0.5), "task", failing(1000), lambda: None)


def test_who_waits_can_be_called_away() -> None:
    def cancelled() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        patiently(settings(FOREVER_S), "task", failing(1), cancelled)


def test_pauses_grow_to_a_limit_and_are_not_the_same_for_all() -> None:
    assert 0.125 <= pause_s("a", 0) <= 0.25
    assert 0.5 <= pause_s("a", 2) <= 1.0
    assert all(7.5 <= pause_s("a", number) <= 15 for number in range(6, 40))
    assert len({pause_s(f"task-{number}", 3) for number in range(20)}) == 20


def test_the_wait_is_told_in_seconds() -> None:
    assert away(settings(120), "it was read") == (
        "The S3 store did not answer for 120 seconds while it was read."
    )
